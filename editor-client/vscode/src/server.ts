/**
 * The server's process: found, started, restarted, and ended with the window.
 */

import type { Client, Host } from './client';
import type { Command, Found } from './discovery';
import type { Status } from './protocol';
import { OneAtATime, RestartBudget } from './restarts';
import type { Process } from './statusText';

/** What the server's process is made from. */
export interface Parts extends Pick<Host, 'log' | 'settings' | 'provideInlineCompletionItems'> {
  find(): Promise<Found | undefined>;
  /** Called at each change of `process` and `status`. */
  onChange(): void;
}

export class Server {
  process: Process = { kind: 'looking' };
  /** What the running server said last. */
  status: Status | undefined;
  private client: Client | undefined;
  private found: Found | undefined;
  private readonly budget = new RestartBudget();
  private readonly turns = new OneAtATime();

  constructor(private readonly parts: Parts) {}

  /** The client of the running server. */
  get running(): Client | undefined {
    return this.client?.isRunning === true ? this.client : undefined;
  }

  /** How to download the configured model; undefined: there is no server that could. */
  pullCommand(): Command | undefined {
    const { server } = this.found ?? {};
    const args = server?.args.slice(0, server.args.lastIndexOf('lsp'));
    return server && args && { command: server.command, args: [...args, 'models', 'pull', ...this.model] };
  }

  /** Ends the server if there is one, and starts it again; calls meanwhile share one more start. */
  restart(): Promise<void> {
    this.budget.forgive();
    return this.turns.run(async () => {
      await this.stop();
      await this.start();
    });
  }

  /** Ends the server. */
  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    this.status = undefined;
    await client?.stop();
  }

  /** Its name, as the server said; none: the server's default. */
  private get model(): string[] {
    return this.status?.model ? [this.status.model] : [];
  }

  private async start(): Promise<void> {
    this.become({ kind: 'looking' });
    const found = await this.parts.find();
    if (found === undefined) {
      this.become({ kind: 'missing' });
      return;
    }
    this.found = found;
    const { origin, server } = found;
    this.parts.log.info(`starting ${[server.command, ...server.args].join(' ')} from ${origin}`);
    this.become({ kind: 'starting', origin });
    const { Client } = await import('./client.js');
    const client = (this.client = new Client(server, this.host(origin)));
    try {
      await client.start();
      this.become({ kind: 'running', origin });
    } catch (error) {
      this.become({ kind: 'stopped', reason: `The server did not start: ${String(error)}` });
    }
  }

  /** What the client of a server from there is given. */
  private host(origin: string): Host {
    return {
      ...this.parts,
      onStatus: (status) => {
        this.status = status;
        this.parts.onChange();
      },
      onState: (kind) => {
        this.become({ kind, origin });
      },
      onEnd: () => this.ended(),
    };
  }

  /** The server ended and nobody had asked for it. */
  private async ended(): Promise<boolean> {
    this.status = undefined;
    const verdict = this.budget.ended();
    if (!verdict.again) {
      this.become({ kind: 'stopped', reason: `${verdict.reason}; see the logs, then restart it` });
      return false;
    }
    this.become({ kind: 'starting', origin: 'it had ended' });
    this.parts.log.warn(`the server ended; starting it again in ${String(verdict.delayMs)} ms`);
    await new Promise((resolve) => setTimeout(resolve, verdict.delayMs));
    return true;
  }

  private become(process: Process): void {
    this.process = process;
    this.parts.onChange();
  }
}
