// node tap.mjs LOG PROGRAM ARGUMENT...: runs the program, and logs what it is told on its standard input.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import process from 'node:process';

const [log, program, ...args] = process.argv.slice(2);
const server = spawn(program, args, { stdio: ['pipe', 'inherit', 'inherit'] });
process.stdin.pipe(createWriteStream(log, { flags: 'a' }));
process.stdin.pipe(server.stdin);
server.on('exit', (code) => process.exit(code ?? 1));
