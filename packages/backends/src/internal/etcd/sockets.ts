/**
 * The sockets of a channel, so that closing the channel closes them.
 *
 * grpc-js 1.14 leaves a socket open for ever whose peer accepted the connection and then never said a word, however
 * long ago its channel was closed; an hour of a black hole would cost a thousand of them. It also forgets the socket of
 * a connection that is made just after its channel was closed, as happens to each member that loses a race. Credentials
 * are the one place where it hands its sockets out.
 */
/* oxlint-disable no-underscore-dangle -- the names are those of grpc-js, whose abstract class asks for them */
import { ChannelCredentials } from "@grpc/grpc-js"
import type { Socket } from "node:net"

type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>

/** The same credentials, which also note each socket that is opened with them. */
export class NotingSockets extends ChannelCredentials {
  private readonly credentials: ChannelCredentials
  private readonly open = new Set<Socket>()
  private isClosed = false

  constructor(credentials: ChannelCredentials) {
    super()
    this.credentials = credentials
  }

  /** Destroys all sockets, and from now on each one that still comes. */
  destroySockets() {
    this.isClosed = true
    for (const socket of this.open) socket.destroy()
  }

  override _isSecure() {
    return this.credentials._isSecure()
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other
  }

  override _createSecureConnector(...args: Parameters<ChannelCredentials["_createSecureConnector"]>): Connector {
    const connector = this.credentials._createSecureConnector(...args)
    return {
      connect: (socket) => {
        if (this.isClosed) socket.destroy()
        this.open.add(socket)
        socket.once("close", () => this.open.delete(socket))
        return connector.connect(socket)
      },
      waitForReady: () => connector.waitForReady(),
      getCallCredentials: () => connector.getCallCredentials(),
      destroy: () => connector.destroy()
    }
  }
}
