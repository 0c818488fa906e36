/**
 * One series of a metric: the same as `Metric.withAttributes` gives, for where it is updated often.
 *
 * A metric remembers the key of one set of attributes. Shared by a thousand services it makes a new one for each update;
 * a series of its own makes it once.
 */
import * as Metric from "effect/Metric"

type Attributes = Readonly<Record<string, string>>

export const gauge = ({ description, id }: Metric.Gauge<number>, attributes: Attributes): Metric.Gauge<number> =>
  Metric.gauge(id, { description, attributes })
