/**
 * Every Schedule, time to live, timeout and threshold, each a `Context.Reference` with its default.
 *
 * Override one by providing it to a layer: `Layer.succeed(Policy.Rewatch, Schedule.recurs(5))`; those that concern single
 * requests also around these. Nothing else in the code base holds a number of this kind. Durations are measured on the
 * monotonic clock.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { ServiceName } from "./Endpoint.ts"
import type * as Guard from "./Guard.ts"
import type * as Health from "./Health.ts"
import * as Pick from "./Pick.ts"
import type * as Subsets from "./Subset.ts"
import type * as Zones from "./Zones.ts"

/**
 * Doubles from 100 ms up to 2 s, each delay ± 20 %, for ever. The cap bounds how late a registry that is back is
 * noticed: with 5 s, clients were still catching up 5 s after each heal of a soak.
 */
const patient: Schedule.Schedule<unknown> = Schedule.min([
  Schedule.exponential("100 millis", 2),
  Schedule.spaced("2 seconds")
]).pipe(Schedule.jittered)

/**
 * How long a registration lives without a renewal, and after which share of that time it is renewed: then, or up to a
 * thirty-second of it earlier, so that the many of one process are renewed together. Defaults: 10 s, a third.
 *
 * @category registration
 * @since 0.1.0
 */
export const Lease = Context.Reference<{
  readonly ttl: Duration.Duration
  readonly renewAfter: number
}>("@muster/core/Policy/Lease", { defaultValue: () => ({ ttl: Duration.seconds(10), renewAfter: 1 / 3 }) })

/**
 * How a server leaves: how long it serves on after it said that it is draining, so that every client has seen it, and
 * how long the whole withdrawal may take beyond that when the registry does not answer, a third of it each for a
 * registration in flight, for saying that it is draining, and for giving the lease back. Defaults: 1 s, 2 s.
 *
 * @category registration
 * @since 0.1.0
 */
export const Drain = Context.Reference<{
  readonly wait: Duration.Duration
  readonly withdrawal: Duration.Duration
}>("@muster/core/Policy/Drain", {
  defaultValue: () => ({ wait: Duration.seconds(1), withdrawal: Duration.seconds(2) })
})

/**
 * When to try to register again. Default: 100 ms × 2, at most 2 s, ± 20 %, for ever.
 *
 * @category registration
 * @since 0.1.0
 */
export const Reregister = Context.Reference<Schedule.Schedule<unknown>>("@muster/core/Policy/Reregister", {
  defaultValue: () => patient
})

/**
 * The readiness of a server is asked this often until it says yes. Default: every 50 ms.
 *
 * @category registration
 * @since 0.1.0
 */
export const Readiness = Context.Reference<Schedule.Schedule<unknown>>("@muster/core/Policy/Readiness", {
  defaultValue: () => Schedule.spaced("50 millis")
})

/**
 * When to open a watch again, and so how long to stay frozen: a schedule that ends gives up and fails the service.
 * Default: 100 ms × 2, at most 2 s, ± 20 %, for ever. It starts over once a watch lived for `SettledAfter`.
 *
 * @category discovery
 * @since 0.1.0
 */
export const Rewatch = Context.Reference<Schedule.Schedule<unknown>>("@muster/core/Policy/Rewatch", {
  defaultValue: () => patient
})

/**
 * How long a watch has to live before `Rewatch` starts over. Default: 10 s.
 *
 * @category discovery
 * @since 0.1.0
 */
export const SettledAfter = Context.Reference<Duration.Duration>("@muster/core/Policy/SettledAfter", {
  defaultValue: () => Duration.seconds(10)
})

/**
 * How long a watch may take to tell its first change, a full listing included. Default: 10 s.
 *
 * @category discovery
 * @since 0.1.0
 */
export const OpenDeadline = Context.Reference<Duration.Duration>("@muster/core/Policy/OpenDeadline", {
  defaultValue: () => Duration.seconds(10)
})

/**
 * The jittered full read that catches what no stream can show, and the early one when instances are held.
 * Defaults: after 2 to 5 min; after 0.5 to 1.5 s.
 *
 * @category discovery
 * @since 0.1.0
 */
export const FullRead = Context.Reference<{
  readonly after: readonly [Duration.Duration, Duration.Duration]
  readonly early: readonly [Duration.Duration, Duration.Duration]
}>("@muster/core/Policy/FullRead", {
  defaultValue: () => ({
    after: [Duration.minutes(2), Duration.minutes(5)],
    early: [Duration.millis(500), Duration.millis(1500)]
  })
})

/**
 * The mass-removal guard. Defaults: half and at least 2 within 10 s, or any within 10 s after an outage; believed after a
 * full read 15.3 s later (the default time to live, one renewal and 2 s) and not within those 10 s; held for at most 60 s.
 *
 * @category discovery
 * @since 0.1.0
 */
export const MassRemoval = Context.Reference<Guard.Options>("@muster/core/Policy/MassRemoval", {
  defaultValue: () => ({
    window: Duration.seconds(10),
    fraction: 0.5,
    minimum: 2,
    confirmAfter: Duration.millis(15_334),
    maxHold: Duration.seconds(60)
  })
})

/**
 * How long what nobody uses is kept: the watch of a service without a subscriber (who was there is kept for good), the
 * balancer of a service that nobody asks for (at least 1 s), a connection to the registry, and the stream over which its
 * leases are renewed.
 * Default: 60 s.
 *
 * @category discovery
 * @since 0.1.0
 */
export const IdleAfter = Context.Reference<Duration.Duration>("@muster/core/Policy/IdleAfter", {
  defaultValue: () => Duration.seconds(60)
})

/**
 * How the last snapshot of a service is kept for the next run of a client: how long the registry may take to answer
 * before the next run serves from it, how often it is kept at most while the list changes, how often at least while it
 * does not, how long one reading or writing may take, and how old it may be to be used.
 * Defaults: 250 ms, 5 s, 1 min, 1 s, 1 day.
 *
 * @category discovery
 * @since 0.1.0
 */
export const Remember = Context.Reference<{
  readonly headStart: Duration.Duration
  readonly atMostEvery: Duration.Duration
  readonly atLeastEvery: Duration.Duration
  readonly deadline: Duration.Duration
  readonly maxAge: Duration.Duration
}>("@muster/core/Policy/Remember", {
  defaultValue: () => ({
    headStart: Duration.millis(250),
    atMostEvery: Duration.seconds(5),
    atLeastEvery: Duration.minutes(1),
    deadline: Duration.seconds(1),
    maxAge: Duration.days(1)
  })
})

/**
 * When an actor that died of a defect is started again. Default: as `Rewatch`.
 *
 * @category supervision
 * @since 0.1.0
 */
export const Restart = Context.Reference<Schedule.Schedule<unknown>>("@muster/core/Policy/Restart", {
  defaultValue: () => patient
})

/**
 * The deadline of one exchange with a registry. A registration consists of usually up to four of them, one after the
 * other (as the grant of a lease and the writing of the entry), and is cut short after four deadlines; a renewal after
 * one, or when its lease ends if that is sooner. Leaving is bounded by `Drain` instead. Default: 3 s.
 *
 * @category registries
 * @since 0.1.0
 */
export const CallDeadline = Context.Reference<Duration.Duration>("@muster/core/Policy/CallDeadline", {
  defaultValue: () => Duration.seconds(3)
})

/**
 * How often a silent stream is asked for a sign of life; two unanswered in a row are taken for its death.
 * Default: 3 s, so that a registry that stands still is noticed before a lease that it keeps can run out: at the default
 * `Lease` one has at least 6.7 s left at any moment.
 *
 * @category registries
 * @since 0.1.0
 */
export const Heartbeat = Context.Reference<Duration.Duration>("@muster/core/Policy/Heartbeat", {
  defaultValue: () => Duration.seconds(3)
})

/**
 * How many short calls to a registry one process has under way at once; the others wait within their deadline.
 * Default: 64, a third of what a Consul agent allows one client (`http_max_conns_per_client`, 200).
 *
 * @category registries
 * @since 0.1.0
 */
export const CallConcurrency = Context.Reference<number>("@muster/core/Policy/CallConcurrency", {
  defaultValue: () => 64
})

/**
 * How long a registry that shows a lease that ran out as unhealthy keeps its entry before it deletes it; nobody is
 * sent there meanwhile. Default: 1 min, the least that Consul knows.
 *
 * @category registries
 * @since 0.1.0
 */
export const ForgetAfter = Context.Reference<Duration.Duration>("@muster/core/Policy/ForgetAfter", {
  defaultValue: () => Duration.minutes(1)
})

/**
 * How long an answer that says for how long it holds is believed: what it says, but within these bounds, and up to a
 * fifth longer, so that not everybody asks again at once. Default: 1 s to 5 min.
 *
 * @category registries
 * @since 0.1.0
 */
export const TimeToLive = Context.Reference<readonly [Duration.Duration, Duration.Duration]>(
  "@muster/core/Policy/TimeToLive",
  { defaultValue: () => [Duration.seconds(1), Duration.minutes(5)] }
)

/**
 * How often a registry that is asked over the network, and cannot notify, is looked at; give or take a fifth. Nothing is
 * decided by what was read longer ago. Default: 1 s.
 *
 * @category registries
 * @since 0.1.0
 */
export const PollRemote = Context.Reference<Duration.Duration>("@muster/core/Policy/PollRemote", {
  defaultValue: () => Duration.seconds(1)
})

/**
 * When a registry that neither notifies nor says how long its answer holds is asked again. Default: every 10 s, ± 20 %.
 *
 * @category registries
 * @since 0.1.0
 */
export const Refresh = Context.Reference<Schedule.Schedule<unknown>>("@muster/core/Policy/Refresh", {
  defaultValue: () => Schedule.spaced("10 seconds").pipe(Schedule.jittered)
})

/**
 * How often a registry that cannot notify, or whose notice may be lost, is looked at. Default: 250 ms.
 *
 * @category registries
 * @since 0.1.0
 */
export const Poll = Context.Reference<Duration.Duration>("@muster/core/Policy/Poll", {
  defaultValue: () => Duration.millis(250)
})

/**
 * A list-and-watch that the services of a Kubernetes namespace share.
 *
 * `life`: the API server is asked to end a watch after a random time between these two, and it is opened again where it
 * ended. `silence`: without an event or a bookmark (the API server sends one about every minute) for this long, a watch
 * is taken for dead and opened again. `relist`: a listing that nobody waits for waits a random time up to this, so that
 * a restarted API server sees a spread of its clients. `linger`: how long a watch outlives its last watcher, so that a
 * full read does not close and open it. `pageSize`: slices in one page of a listing. `longestPause`: a `Retry-After`
 * beyond this is cut down to it. `logLength`: how many changes of a service are remembered, at most twice as many; a
 * watcher that is further behind is told everything anew, from memory. Defaults: 4 to 9 min; 90 s; 5 s; 1 s; 200; 60 s; 250.
 *
 * @category registries
 * @since 0.1.0
 */
export const SharedWatch = Context.Reference<{
  readonly life: readonly [Duration.Duration, Duration.Duration]
  readonly silence: Duration.Duration
  readonly relist: Duration.Duration
  readonly linger: Duration.Duration
  readonly pageSize: number
  readonly longestPause: Duration.Duration
  readonly logLength: number
}>("@muster/core/Policy/SharedWatch", {
  defaultValue: () => ({
    life: [Duration.minutes(4), Duration.minutes(9)],
    silence: Duration.seconds(90),
    relist: Duration.seconds(5),
    linger: Duration.seconds(1),
    pageSize: 200,
    longestPause: Duration.seconds(60),
    logLength: 250
  })
})

/**
 * How many revisions a registry of our own (memory, local) remembers at least, so that a watch can resume.
 * Default: 10 000.
 *
 * @category registries
 * @since 0.1.0
 */
export const LogLength = Context.Reference<number>("@muster/core/Policy/LogLength", { defaultValue: () => 10_000 })

/**
 * What a call to a shared file does while another process writes: it blocks this one for at most `wait`, then tries
 * again by `retry` until its deadline. Defaults: 5 ms; 1 ms × 2, at most 20 ms, ± 20 %, for ever.
 *
 * @category registries
 * @since 0.1.0
 */
export const Locked = Context.Reference<{
  readonly wait: Duration.Duration
  readonly retry: Schedule.Schedule<unknown>
}>("@muster/core/Policy/Locked", {
  defaultValue: () => ({
    wait: Duration.millis(5),
    retry: Schedule.min([Schedule.exponential("1 millis", 2), Schedule.spaced("20 millis")]).pipe(Schedule.jittered)
  })
})

/**
 * How often a registry that several processes keep together is searched for leases that are over. Default: 500 ms.
 *
 * @category registries
 * @since 0.1.0
 */
export const Sweep = Context.Reference<Duration.Duration>("@muster/core/Policy/Sweep", {
  defaultValue: () => Duration.millis(500)
})

/**
 * The pause between two rounds of attempts to reach any member of a registry, taken at random between these; only while
 * somebody waits for it. Default: 50 to 150 ms.
 *
 * @category registries
 * @since 0.1.0
 */
export const Reconnect = Context.Reference<readonly [Duration.Duration, Duration.Duration]>(
  "@muster/core/Policy/Reconnect",
  { defaultValue: () => [Duration.millis(50), Duration.millis(150)] }
)

/**
 * How long one member of a registry is tried alone before the next one is tried beside it. Default: 50 ms.
 *
 * @category registries
 * @since 0.1.0
 */
export const HeadStart = Context.Reference<Duration.Duration>("@muster/core/Policy/HeadStart", {
  defaultValue: () => Duration.millis(50)
})

/**
 * Full reads that many clients need at the same moment (a compaction, a registry that went back, a resume on a server
 * known to lose events) are spread over this time. Default: 1 s.
 *
 * @category registries
 * @since 0.1.0
 */
export const Spread = Context.Reference<Duration.Duration>("@muster/core/Policy/Spread", {
  defaultValue: () => Duration.seconds(1)
})

/**
 * How many registrations a second one client sends at most, and how many at once after a pause, so that a thousand of
 * them do not fall upon a registry that has just come back. Defaults: 140, 10.
 *
 * @category registries
 * @since 0.1.0
 */
export const RegisterRate = Context.Reference<{
  readonly perSecond: number
  readonly burst: number
}>("@muster/core/Policy/RegisterRate", { defaultValue: () => ({ perSecond: 140, burst: 10 }) })

/**
 * What many registrations ask at about the same time is gathered for this long and sent together. Default: 100 ms.
 *
 * @category registries
 * @since 0.1.0
 */
export const Gather = Context.Reference<Duration.Duration>("@muster/core/Policy/Gather", {
  defaultValue: () => Duration.millis(100)
})

/**
 * How many entries one page of a full read has. Default: 1000.
 *
 * @category registries
 * @since 0.1.0
 */
export const PageSize = Context.Reference<number>("@muster/core/Policy/PageSize", { defaultValue: () => 1000 })

/**
 * How many full reads one client has under way at once; the deadlines of the others begin with their turn. So a client of
 * a thousand services is not so busy with the answers to some that it takes the others for lost. Default: 16.
 *
 * @category registries
 * @since 0.1.0
 */
export const ReadConcurrency = Context.Reference<number>("@muster/core/Policy/ReadConcurrency", {
  defaultValue: () => 16
})

/**
 * How many bytes an entry may have to be read at all; etcd is not asked to keep a larger one. Default: 64 KiB.
 *
 * @category registries
 * @since 0.1.0
 */
export const EntrySize = Context.Reference<number>("@muster/core/Policy/EntrySize", { defaultValue: () => 65_536 })

/**
 * One attempt of a request has this deadline; a request has at most this many attempts. Defaults: 2 s, 3.
 *
 * **Gotchas**
 *
 * The deadline runs until the headers of the answer come, and Node sends them with the first byte of the body: a stream
 * that is quiet at first (server-sent events, streaming RPC) counts as one that hangs. Provide `Duration.infinity` as the
 * deadline around subscriptions, or let the server send something at once, such as a comment or a heartbeat.
 *
 * @category balancing
 * @since 0.1.0
 */
export const Attempt = Context.Reference<{
  readonly deadline: Duration.Duration
  readonly attempts: number
}>("@muster/core/Policy/Attempt", { defaultValue: () => ({ deadline: Duration.seconds(2), attempts: 3 }) })

/**
 * How long a request waits for the first pickable instance, within its own deadline. Default: 1 s.
 *
 * @category balancing
 * @since 0.1.0
 */
export const WaitForInstance = Context.Reference<Duration.Duration>("@muster/core/Policy/WaitForInstance", {
  defaultValue: () => Duration.seconds(1)
})

/**
 * The budget that retries and hedges share: `ratio` of the requests plus `perSecond`, over `window`.
 * Defaults: 20 %, 10/s, 10 s (Finagle's and tower's).
 *
 * @category balancing
 * @since 0.1.0
 */
export const RetryBudget = Context.Reference<{
  readonly ratio: number
  readonly perSecond: number
  readonly window: Duration.Duration
}>("@muster/core/Policy/RetryBudget", {
  defaultValue: () => ({ ratio: 0.2, perSecond: 10, window: Duration.seconds(10) })
})

/**
 * When a request that may be executed twice is sent to a second instance as well, because the first one takes its time:
 * after a fixed time, or once it takes longer than the given share of the answers did (`{ percentile: 0.95 }`, as soon
 * as enough have come). The first good answer wins. It counts as an attempt, and the retry budget pays. Default: never.
 *
 * @category balancing
 * @since 0.1.0
 */
export const Hedge = Context.Reference<
  { readonly after: Duration.Duration } | { readonly percentile: number } | undefined
>("@muster/core/Policy/Hedge", { defaultValue: () => undefined })

/**
 * How an instance is chosen: one of the policies of `Pick`, or a function of your own. Default: `Pick.p2c`, the cheaper
 * of two by latency and requests in flight.
 *
 * @category balancing
 * @since 0.1.0
 */
export const Choose = Context.Reference<Pick.Policy>("@muster/core/Policy/Choose", { defaultValue: () => Pick.p2c })

/**
 * The zone of this client, as in `Endpoint.zone`: requests stay there as far as its capacity suffices. Default: unknown,
 * and zones do not count.
 *
 * @category balancing
 * @since 0.1.0
 */
export const Zone = Context.Reference<string | undefined>("@muster/core/Policy/Zone", { defaultValue: () => undefined })

/**
 * What spills over from one zone to others: `clients` are the numbers of clients in each zone, relative to each other,
 * by which the share of capacity that a zone needs is known; with fewer than `minimumSize` instances in use, zones do
 * not count. Defaults: every zone has as many clients as any other; 6 (Envoy's).
 *
 * @category balancing
 * @since 0.1.0
 */
export const Spill = Context.Reference<Omit<Zones.Options, "own">>("@muster/core/Policy/Spill", {
  defaultValue: () => ({ clients: {}, minimumSize: 6 })
})

/**
 * How many instances of a large service this client uses, so that not everybody is connected to everybody: on average
 * `size`, of a service that has at least `above`. It takes a client that says who it is: `id`, and `service` where it is
 * registered itself, which makes the subsets of all clients fit together (`Subset`). Defaults: 20; 50; nobody, and
 * everybody is used.
 *
 * @category balancing
 * @since 0.1.0
 */
export const Subset = Context.Reference<
  Subsets.Options & {
    readonly client: { readonly id: string; readonly service?: ServiceName | undefined } | undefined
  }
>("@muster/core/Policy/Subset", { defaultValue: () => ({ size: 20, above: 50, client: undefined }) })

/**
 * Whether a server says with each answer how busy it is (`LoadReport`), by which `Pick.hotCold` chooses. Default: yes.
 *
 * @category balancing
 * @since 0.1.0
 */
export const ReportLoad = Context.Reference<boolean>("@muster/core/Policy/ReportLoad", { defaultValue: () => true })

/**
 * How latency is remembered: over how many answers it is averaged, with which time constant it is forgotten where there
 * are fewer, the estimate when nobody has answered yet, how many answers of all say how cold this client is and nothing
 * of the instances, how many answers make the latency of an instance known, within how many requests to all what fewer
 * answers than `memory` said of one is forgotten at the soonest, the share by which two latencies may differ and still be
 * the same, and what is added to every latency because an event loop adds as much by chance.
 * Defaults: 32, 20 s (one that was slow is asked again half a minute later), 30 ms (linkerd2's), 6, 2, 700 (one that was
 * slow while it was cold costs at most one request in some hundred to ask again), a half, 5 ms (Kratos').
 *
 * @category balancing
 * @since 0.1.0
 */
export const Latency = Context.Reference<{
  readonly memory: number
  readonly tau: Duration.Duration
  readonly firstEstimate: Duration.Duration
  readonly answersToWarm: number
  readonly answersToKnow: number
  readonly requestsToForget: number
  readonly noise: number
  readonly jitter: Duration.Duration
}>("@muster/core/Policy/Latency", {
  defaultValue: () => ({
    memory: 32,
    tau: Duration.seconds(20),
    firstEstimate: Duration.millis(30),
    answersToWarm: 6,
    answersToKnow: 2,
    requestsToForget: 700,
    noise: 0.5,
    jitter: Duration.millis(5)
  })
})

/**
 * How failures are remembered and push-back is honoured: the rate moves by one part in `memory` for each answer and is
 * forgotten with the time constant `tau`; a Retry-After counts for at most `maxPushBack`.
 * Defaults: 16 answers, 2.5 s (an instance that was not ejected gets its share back within 10 s), 30 s.
 *
 * @category balancing
 * @since 0.1.0
 */
export const Failures = Context.Reference<{
  readonly memory: number
  readonly tau: Duration.Duration
  readonly maxPushBack: Duration.Duration
}>("@muster/core/Policy/Failures", {
  defaultValue: () => ({ memory: 16, tau: Duration.seconds(2.5), maxPushBack: Duration.seconds(30) })
})

/**
 * When an instance is taken out, for how long, how many at most, and how it comes back: `consecutive` failures, or a
 * success rate below the share `successRate` of that of the others over `window` with at least `minimumRequests`; out
 * for `base` × 2ⁿ up to `cap` with equal jitter; at most the share `maxEjected` (at least one) is out, and below the
 * share `panicBelow` of instances in use all are used; an instance that is well again is warmed up for `restore`.
 *
 * Defaults: 5; 0.8 over 30 s of at least 5 requests; 1 s up to 5 s; a tenth; a half; 4 s. The cap and the restoration
 * together bound how long an instance that is well again goes without its share: 5 s + 0.8 × 4 s.
 *
 * @category balancing
 * @since 0.1.0
 */
export const Ejection = Context.Reference<Health.Options & { readonly window: Duration.Duration }>(
  "@muster/core/Policy/Ejection",
  {
    defaultValue: () => ({
      consecutive: 5,
      successRate: 0.8,
      window: Duration.seconds(30),
      minimumRequests: 5,
      base: Duration.seconds(1),
      cap: Duration.seconds(5),
      maxEjected: 0.1,
      panicBelow: 0.5,
      restore: Duration.seconds(4)
    })
  }
)

/**
 * How a new instance is warmed up: from the share `floor` of its full share, growing over `duration` since it started.
 * Defaults: 0.1, 10 s.
 *
 * @category balancing
 * @since 0.1.0
 */
export const WarmUp = Context.Reference<{
  readonly duration: Duration.Duration
  readonly floor: number
}>("@muster/core/Policy/WarmUp", { defaultValue: () => ({ duration: Duration.seconds(10), floor: 0.1 }) })
