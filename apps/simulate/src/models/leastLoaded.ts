/**
 * Least loaded: the fewest requests in flight of this client among all servers (Finagle's heap balancer), a tie goes to
 * one of them at random.
 */
import { Snapshot } from "@muster/core"
import { type Make, serverOf } from "../Client.ts"

export const leastLoaded: Make = ({ servers, random }) => {
  const inFlight = new Int32Array(servers.length)
  let listed: ReadonlyArray<number> = []
  return {
    follow: (snapshot) => {
      listed = Snapshot.endpoints(snapshot).map(serverOf)
    },
    choose: () => {
      let best = -1
      const from = Math.floor(random() * listed.length)
      for (let step = 0; step < listed.length; step++) {
        const server = listed[from + step < listed.length ? from + step : from + step - listed.length]
        if (best < 0 || inFlight[server] < inFlight[best]) best = server
      }
      if (best >= 0) inFlight[best]++
      return best
    },
    settle: (_flight, server) => {
      inFlight[server]--
    }
  }
}
