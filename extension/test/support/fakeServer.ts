/** A fake OpenAI-compatible server: a handler answers each path, and every request is recorded.
 *
 * One that answers like Stoker's gateway must keep to the gateway's contract: otherwise `stop` fails. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Server } from "../../src/api/apiClient";
import { isFromGateway, violations } from "./gatewayContract";

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
  /** Requests whose client closed the connection before the answer ended. */
  aborted = 0;
  private isGateway = false;
  private readonly violations: string[] = [];

  private constructor(
    readonly server: Server,
    private readonly http: ReturnType<typeof createServer>,
  ) {}

  /** A handler writes the answer itself or returns what to send as JSON. Other paths answer 404. */
  static async start(handlers: Record<string, Handler>): Promise<FakeServer> {
    const http = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks).toString();
      const received = { path: request.url ?? "", headers: request.headers, body };
      fake.received.push(received);
      fake.watch(received, response);
      const handler = handlers[received.path];
      if (!handler) return json(response, gatewayError(`Not found: ${received.path}`, null), 404);
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

  /** @throws where it answered what the gateway never does */
  async stop(): Promise<void> {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
    if (this.violations.length) throw new Error(this.violations.join("\n"));
  }

  private watch({ path, body }: Received, response: ServerResponse): void {
    response.on("close", () => {
      if (!response.writableEnded) this.aborted += 1;
    });
    const end = response.end.bind(response) as (chunk?: unknown) => ServerResponse;
    response.end = ((chunk?: unknown) => {
      const answer = parsed(chunk);
      this.isGateway ||= isFromGateway(answer);
      if (this.isGateway && answer !== undefined) {
        this.violations.push(...violations(path, body, response.statusCode, answer));
      }
      return end(chunk);
    }) as ServerResponse["end"];
  }
}

function parsed(chunk: unknown): unknown {
  try {
    return JSON.parse(String(chunk));
  } catch {
    return undefined;
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

/** A handler that streams chunks; a number waits so many milliseconds, "cut" breaks the connection. */
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

/** A handler for `/v1/models`. */
export const lists = (...data: object[]): Handler => () => ({ object: "list", data });

const CAPABILITIES = {
  chat: true,
  tools: "native",
  vision: false,
  reasoning: false,
  infill: false,
  fits: false,
};

/** An entry of the gateway's `/v1/models`. */
export function gatewayModel(
  id: string,
  { capabilities = {}, ...fields }: { capabilities?: Partial<typeof CAPABILITIES>; max_model_len?: number; quantization?: string; root?: string } = {},
): object {
  return {
    id,
    object: "model",
    owned_by: "stoker",
    max_model_len: 8192,
    quantization: null,
    ...fields,
    capabilities: { ...CAPABILITIES, ...capabilities },
  };
}

/** The gateway's `/tokenize`.
 * @param count of the tokens of one prompt, or of messages as the chat template renders them */
export function gatewayTokenize(
  count: (prompt: string) => number,
  countChat: (messages: { content: string }[]) => number = () => 9,
): Handler {
  return ({ body }) => {
    const { prompt, messages } = JSON.parse(body) as {
      prompt?: string | string[];
      messages?: { content: string }[];
    };
    const max_model_len = 8192;
    if (messages) return { count: countChat(messages), max_model_len };
    if (Array.isArray(prompt)) return { counts: prompt.map(count), max_model_len };
    return { count: count(prompt ?? ""), max_model_len };
  };
}

/** The body of a gateway's error. */
export function gatewayError(message: string, code: string | null): object {
  return { error: { message, type: "invalid_request_error", param: null, code } };
}
