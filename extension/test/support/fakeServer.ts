/** A fake OpenAI-compatible server: each path answers as a test says, and remembers the bytes. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Server } from "../../src/api/apiClient";

export interface Received {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export type Handler = (
  received: Received,
  response: ServerResponse,
) => unknown | Promise<unknown>;

export class FakeServer {
  readonly received: Received[] = [];
  /** Requests whose client went away before the answer ended. */
  aborted = 0;
  private constructor(
    readonly server: Server,
    private readonly http: ReturnType<typeof createServer>,
  ) {}

  /** Each handler answers itself or returns what to send as JSON. Unknown paths are 404. */
  static async start(handlers: Record<string, Handler>): Promise<FakeServer> {
    const http = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks).toString();
      const received = { path: request.url ?? "", headers: request.headers, body };
      fake.received.push(received);
      response.on("close", () => {
        if (!response.writableEnded) fake.aborted += 1;
      });
      const handler = handlers[received.path];
      if (!handler) return void response.writeHead(404).end("{}");
      const value = await handler(received, response);
      if (value !== undefined && !response.headersSent) json(response, value);
    });
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    const { port } = http.address() as AddressInfo;
    const fake = new FakeServer({ base: `http://127.0.0.1:${port}`, headers: {} }, http);
    return fake;
  }

  asked(path: string): Received[] {
    return this.received.filter((received) => received.path === path);
  }

  async stop(): Promise<void> {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }
}

export function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
}

/** A handler that answers an error. */
export function fails(status: number, body: unknown, headers: Record<string, string> = {}): Handler {
  return (_, response) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(text);
  };
}

/** A handler that streams chunks; a number waits so many milliseconds, "cut" breaks the line. */
export function streams(...items: (object | string | number)[]): Handler {
  return async (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const item of items) {
      if (item === "cut") return void response.destroy();
      if (typeof item === "number") await new Promise((resolve) => setTimeout(resolve, item));
      else response.write(`data: ${typeof item === "string" ? item : JSON.stringify(item)}\n\n`);
    }
    response.end();
  };
}

export const text = (content: string) => ({ choices: [{ delta: { content } }] });
export const thinks = (reasoning_content: string) => ({ choices: [{ delta: { reasoning_content } }] });
export const calls = (...tool_calls: object[]) => ({ choices: [{ delta: { tool_calls } }] });
export const finish = (finish_reason: string) => ({ choices: [{ delta: {}, finish_reason }] });
export const usage = (prompt_tokens: number, completion_tokens: number) => ({
  choices: [],
  usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens },
});
