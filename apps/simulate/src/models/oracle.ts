/**
 * An omniscient oracle: sees every queue and every state of health at once, and what the request will cost, and takes
 * the server that will have answered first. What no client can do, and what p99 is held against.
 */
import { Snapshot } from "@muster/core"
import { type Make, serverOf } from "../Client.ts"
import * as Servers from "../Servers.ts"

export const oracle: Make = ({ servers, random }) => {
  let listed: ReadonlyArray<number> = []
  return {
    follow: (snapshot) => {
      listed = Snapshot.endpoints(snapshot).map(serverOf)
    },
    choose: (_flight, now, size) => {
      let best = -1
      let bestAt = Infinity
      const from = Math.floor(random() * listed.length)
      for (let step = 0; step < listed.length; step++) {
        const server = listed[from + step < listed.length ? from + step : from + step - listed.length]
        const target = servers[server]
        const at =
          target.mode === "works" ? Servers.startsAt(target, now) + size * Servers.pace(target, now) : Number.MAX_VALUE
        if (at < bestAt) {
          best = server
          bestAt = at
        }
      }
      return best
    },
    settle: () => {}
  }
}
