/**
 * An HTTP server that answers everything at once; it says its port first.
 */
import { createServer } from "node:http"

const server = createServer((_, response) => response.end("answered"))

server.listen({ host: "127.0.0.1", port: 0 }, () => {
  const address = server.address()
  process.stdout.write(`${typeof address === "object" ? address?.port : ""}\n`)
})

process.stdin.resume().once("end", () => process.exit(0))
