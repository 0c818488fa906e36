/**
 * Round robin: each in turn, from a random place on so that clients do not march in step.
 */
import { Snapshot } from "@muster/core"
import { type Make, serverOf } from "../Client.ts"

export const roundRobin: Make = ({ random }) => {
  let listed: ReadonlyArray<number> = []
  let turn = Math.floor(random() * 1e6)
  return {
    follow: (snapshot) => {
      listed = Snapshot.endpoints(snapshot).map(serverOf)
    },
    choose: () => (listed.length === 0 ? -1 : listed[turn++ % listed.length]),
    settle: () => {}
  }
}
