/**
 * An etcd that the story starts itself, with its data below the story's folder: killed with -9, stopped so that it
 * hangs, and started again without its data.
 */
import { Effect, Layer } from "effect"
import * as EtcdServer from "../../../../../packages/backends/test/fixtures/EtcdServer.ts"
import { Trouble } from "../../Trouble.ts"
import { RegistryControl } from "../RegistryControl.ts"

const missing =
  "there is no etcd here to start: install it (Debian, Ubuntu: apt-get install etcd-server), " +
  "or name one that is running: --registry etcd://127.0.0.1:2379"

export const layer = (folder: string) =>
  Layer.effect(
    RegistryControl,
    Effect.gen(function* () {
      if (!EtcdServer.isInstalled) return yield* new Trouble({ message: missing })
      const server = yield* ready(EtcdServer.make({ folder }))

      return RegistryControl.of({
        name: "etcd",
        target: `etcd://${server.address}`,
        outages: [
          {
            takeAway: { says: "etcd is killed (-9)", done: server.kill },
            bringBack: { says: "etcd is started again", done: ready(server.start) }
          },
          {
            takeAway: { says: "etcd is stopped (SIGSTOP): it accepts and never answers", done: server.pause },
            bringBack: {
              says: "etcd goes on (SIGCONT)",
              done: Effect.andThen(server.resume, ready(server.ready))
            }
          }
        ],
        wipe: {
          says: "etcd is killed (-9), its data deleted, and started again",
          done: Effect.andThen(server.wipe, ready(server.start))
        }
      })
    })
  )

/** A server that does not start says why, and that is for whoever watches. */
const ready = <A, E, R>(starting: Effect.Effect<A, E, R>) =>
  Effect.catchDefect(starting, (defect) => Effect.fail(new Trouble({ message: String(defect) })))
