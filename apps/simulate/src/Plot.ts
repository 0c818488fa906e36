/**
 * One scenario as an SVG picture: for each size what the server gets that something happens to, second by second, and
 * below it how the latency of the answers is distributed, up to the 99.9th percentile.
 */
import * as Histogram from "./Histogram.ts"
import type { Measured } from "./Measured.ts"

const width = 460
const height = 200
const margin = { left: 52, right: 12, top: 34, bottom: 34 }
const quantiles = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999]
const colours = ["#d1495b", "#00798c", "#edae49", "#30638e", "#7a9e7e", "#8d6a9f", "#444444", "#a0a0a0", "#c77dff"]

export const plot = (title: string, measured: ReadonlyArray<Measured>): string => {
  const policies = [...new Set(measured.map(({ policy }) => policy))]
  const colour = (policy: string) => colours[policies.indexOf(policy) % colours.length]
  const columns = [...new Set(measured.map(({ n, clients }) => `${n} ${clients}`))].map((key) =>
    measured.filter(({ n, clients }) => `${n} ${clients}` === key)
  )
  const legend = policies
    .map((policy, index) => {
      const x = margin.left + 110 * index
      return `<rect x="${x}" y="30" width="12" height="4" fill="${colour(policy)}"/>${text(x + 16, 35, policy)}`
    })
    .join("")
  const panels = columns.map((column, index) => {
    const [{ n, clients }] = column
    const what = `n = ${n}, ${clients === 1 ? "1 client" : `${clients} clients`}`
    const shares = lines(
      `${what}: share of s0, 1 is fair`,
      "s",
      column.map((one) => ({ colour: colour(one.policy), points: one.shares.map((y, x) => [x, y]) })),
      String
    )
    const tails = lines(
      `${what}: latency, ms`,
      "",
      column.map((one) => ({
        colour: colour(one.policy),
        points: quantiles.map((q, x) => [x, Histogram.quantile(one.latencies, q)])
      })),
      (x) => `p${Math.round((quantiles[x] ?? 0) * 1000) / 10}`
    )
    return `<g transform="translate(${index * width} 44)">${shares}<g transform="translate(0 ${height})">${tails}</g></g>`
  })
  const [w, h] = [Math.max(width * columns.length, margin.left + 110 * policies.length), 2 * height + 50]
  const background = `<rect width="${w}" height="${h}" fill="white"/>`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${w} ${h}" font-family="sans-serif" font-size="11">${background}${text(margin.left, 18, title)}${legend}${panels.join("")}</svg>\n`
}

interface Line {
  readonly colour: string
  readonly points: ReadonlyArray<readonly [number, number]>
}

const lines = (title: string, unit: string, all: ReadonlyArray<Line>, label: (x: number) => string): string => {
  const last = Math.max(1, ...all.map(({ points }) => points.length - 1))
  const top = 1.1 * Math.max(0.001, ...all.flatMap(({ points }) => points.map(([, y]) => y)))
  const x = (at: number) => margin.left + (at / last) * (width - margin.left - margin.right)
  const y = (at: number) => height - margin.bottom - (at / top) * (height - margin.top - margin.bottom)
  const ticks = Array.from({ length: 5 }, (_, tick) => {
    const [at, value] = [Math.round((tick * last) / 4), (tick * top) / 4]
    const grid = `<line x1="${x(0)}" x2="${x(last)}" y1="${y(value)}" y2="${y(value)}" stroke="#ddd"/>`
    const name = value >= 100 ? value.toFixed(0) : value.toPrecision(2)
    return `${grid}${text(6, y(value) + 4, name)}${text(x(at) - 8, height - margin.bottom + 15, `${label(at)} ${unit}`)}`
  })
  const paths = all.map(({ colour, points }) => {
    const path = points.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(" ")
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.5" stroke-opacity="0.85"/>`
  })
  return `${text(margin.left, margin.top - 8, title)}${ticks.join("")}${paths.join("")}`
}

const text = (x: number, y: number, what: string): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="#222">${what.replaceAll("&", "&amp;").replaceAll("<", "&lt;").trim()}</text>`
