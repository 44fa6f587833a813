// node tap.mjs LOG PROGRAM ARGUMENT...: runs the program, and logs each message on its standard input and output.
// A line of the log is JSON: {"at": milliseconds, "from": "editor" or "server", "method", "id", "token"}.
import { Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import process from 'node:process';

const [log, program, ...args] = process.argv.slice(2);
const server = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
server.on('exit', (code) => process.exit(code ?? 1));
pass(process.stdin, server.stdin, 'editor');
pass(server.stdout, process.stdout, 'server');

/** Passes everything on at once, and notes the messages in it. */
function pass(input, output, from) {
  let pending = Buffer.alloc(0);
  input.on('data', (data) => {
    const at = performance.timeOrigin + performance.now();
    output.write(data);
    pending = Buffer.concat([pending, data]);
    for (let message; (message = next()) !== undefined; ) {
      const { method, id, params } = message;
      const token = params?.partialResultToken ?? params?.token;
      appendFileSync(log, `${JSON.stringify({ at, from, method, id, token })}\n`);
    }
  });
  input.on('end', () => output.end());

  /** The first message that is complete, taken from what is pending. */
  function next() {
    const head = pending.indexOf('\r\n\r\n');
    const length = Number(/Content-Length: (\d+)/i.exec(pending.subarray(0, Math.max(0, head)))?.[1]);
    const end = head + 4 + length;
    if (head < 0 || !(pending.length >= end)) {
      return undefined;
    }
    const message = JSON.parse(pending.subarray(head + 4, end));
    pending = pending.subarray(end);
    return message;
  }
}
