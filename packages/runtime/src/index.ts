/**
 * What is running: supervised fibers that turn registries into state, and state into balanced requests. Each module is
 * one namespace.
 */
export * as Advertise from "./Advertise.ts"
export * as BalancedHttpClient from "./BalancedHttpClient.ts"
export * as Balancer from "./Balancer.ts"
export * as BalancerError from "./BalancerError.ts"
export * as ConnectProbe from "./ConnectProbe.ts"
export * as Deadline from "./Deadline.ts"
export * as Discovery from "./Discovery.ts"
export * as HealthCheck from "./HealthCheck.ts"
export * as Registrar from "./Registrar.ts"
export * as ServerDeadline from "./ServerDeadline.ts"
export * as SnapshotFiles from "./SnapshotFiles.ts"
