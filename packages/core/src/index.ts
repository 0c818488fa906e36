/**
 * What is true of services, their instances and their registries: data, laws, ports and defaults. No fiber, no clock,
 * no I/O. Each module is one namespace.
 */
export * as Attempt from "./Attempt.ts"
export * as Candidates from "./Candidates.ts"
export * as Change from "./Change.ts"
export * as DiscoveryState from "./DiscoveryState.ts"
export * as Endpoint from "./Endpoint.ts"
export * as Guard from "./Guard.ts"
export * as Health from "./Health.ts"
export * as Load from "./Load.ts"
export * as Metrics from "./Metrics.ts"
export * as Outcome from "./Outcome.ts"
export * as Pick from "./Pick.ts"
export * as Policy from "./Policy.ts"
export * as RegistrationState from "./RegistrationState.ts"
export * as Registry from "./Registry.ts"
export * as RegistryError from "./RegistryError.ts"
export * as Resolver from "./Resolver.ts"
export * as RetryBudget from "./RetryBudget.ts"
export * as Roster from "./Roster.ts"
export * as Snapshot from "./Snapshot.ts"
export * as Target from "./Target.ts"
