/**
 * Servers of the story as pods of a Deployment: the kubelet and the controllers of Kubernetes, as far as clients see
 * them in EndpointSlices, over real processes.
 *
 * A new pod is not ready until its readiness probe is answered. One that is deleted is terminating and still serving
 * from that moment, serves on through `preStop`, is told to stop by SIGTERM, killed once its grace is over, serves no
 * more when its process has ended, and then is gone. A process that ends by itself makes its pod not ready.
 */
import { Duration, Effect } from "effect"
import { ended, leaving, notReady, ready } from "../../../../../packages/backends/test/fixtures/endpointSlices.ts"
import type { EndpointSlices } from "./EndpointSlices.ts"
import type * as Fleet from "../Fleet.ts"

export interface Options {
  readonly slices: EndpointSlices
  readonly servers: Fleet.Fleet
  /** Where the next pod listens. */
  readonly address: Effect.Effect<Address>
  /** How long a deleted pod serves on before it is told to stop. Default: 2 s. */
  readonly preStop?: Duration.Duration
  /** How long it may take to stop then. Default: 5 s. */
  readonly grace?: Duration.Duration
}

export interface Address {
  readonly host: string
  readonly port: number
}

interface Pod extends Address {
  server: Fleet.Server
  isDeleted: boolean
}

/** The readiness probe: how often, how long an answer may take, and how many failures in a row make a pod not ready. */
const probe = { period: Duration.millis(250), timeout: Duration.seconds(1), failureThreshold: 2 }

/** What the kubelet and the controllers take to notice something and to act on it. */
const notice = Duration.seconds(1)
const act = Duration.millis(100)

const answers = ({ host, port }: Address) =>
  Effect.promise(() =>
    fetch(`http://${host}:${port}/tally`, { signal: AbortSignal.timeout(Duration.toMillis(probe.timeout)) }).then(
      (response) => response.arrayBuffer().then(() => response.ok),
      () => false
    )
  )

const flags = ({ host, port }: Address) => ["--host", host, "--port", String(port)]

/** A fleet whose servers are pods, until the scope closes. */
export const make = Effect.fnUntraced(function* ({
  slices,
  servers,
  address,
  preStop = Duration.seconds(2),
  grace = Duration.seconds(5)
}: Options) {
  const scope = yield* Effect.scope
  const pods = new Map<string, Pod>()

  const say = (uid: string, { host, port }: Address, conditions: typeof ready) =>
    slices.put(uid, { host, port, conditions })

  /** The kubelet's eye on a pod: ready when it answers, not ready when it fails to or when its process has ended. */
  const watch = Effect.fnUntraced(function* (uid: string, pod: Pod) {
    let failures = 0
    while (!pod.isDeleted) {
      failures = (yield* answers(pod)) ? 0 : failures + 1
      if (pod.isDeleted) return
      if (failures === 0) yield* say(uid, pod, ready)
      else if (failures >= probe.failureThreshold) yield* say(uid, pod, notReady)
      yield* Effect.sleep(probe.period)
    }
  })

  const create = Effect.fn("Pods.create")(function* (uid: string, more: Fleet.More = {}) {
    const at = yield* address
    yield* say(uid, at, notReady)
    const server = yield* servers.start(uid, { ...more, flags: [...(more.flags ?? []), ...flags(at)] })
    const pod: Pod = { ...at, server, isDeleted: false }
    pods.set(uid, pod)
    yield* Effect.forkIn(watch(uid, pod), scope)
    return server
  })

  /** The kubelet has seen the process end; the pod's object goes. */
  const gone = (uid: string) =>
    Effect.gen(function* () {
      yield* Effect.sleep(act)
      yield* slices.remove(uid)
      pods.delete(uid)
    })

  const stop = Effect.fn("Pods.stop")(function* (server: Fleet.Server) {
    const pod = pods.get(server.id)
    if (pod === undefined) return
    server.isServing = false
    pod.isDeleted = true
    yield* say(server.id, pod, leaving)
    yield* Effect.sleep(preStop)
    yield* pod.server.handle.kill({ killSignal: "SIGTERM", forceKillAfter: grace })
    yield* say(server.id, pod, ended)
    yield* gone(server.id)
  })

  return {
    ...servers,
    start: create,
    stop,
    /** Kills the process; its pod is not ready once that was noticed, and then it is evicted. */
    kill: Effect.fn("Pods.kill")(function* (server: Fleet.Server) {
      yield* servers.kill(server)
      const pod = pods.get(server.id)
      if (pod === undefined) return
      pod.isDeleted = true
      const evicted = Effect.andThen(Effect.sleep(notice), Effect.andThen(say(server.id, pod, ended), gone(server.id)))
      yield* Effect.forkIn(evicted, scope)
    }),
    /** Kills the process; its container is started again in the same pod. */
    crash: Effect.fn("Pods.crash")(function* (server: Fleet.Server) {
      yield* servers.kill(server)
      const pod = pods.get(server.id)
      if (pod === undefined) return server
      yield* Effect.sleep(notice)
      yield* say(server.id, pod, notReady)
      pod.server = yield* servers.start(server.id, { flags: flags(pod) })
      return pod.server
    }),
    /** Takes a pod that serves off the slices: a lie that the evidence of the story must find. */
    expel: (uid: string) =>
      Effect.suspend(() => {
        const pod = pods.get(uid)
        if (pod === undefined) return Effect.void
        pod.isDeleted = true
        return slices.remove(uid)
      })
  }
})
