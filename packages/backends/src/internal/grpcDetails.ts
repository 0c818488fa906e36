/**
 * What grpc-js says of a call that failed, without its own words around what happened.
 */

/** Why no connection came about is told at its end: "connect ECONNREFUSED 127.0.0.1:2379". */
export const plain = (details: string): string =>
  details
    .replace(/^No connection established\. Last error: (?:Error: )?/, "")
    .replace(/\. Resolution note: ?$/, "")
    .trim()
