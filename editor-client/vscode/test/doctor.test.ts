import { describe, expect, it } from 'vitest';

import { doctorPage, type Findings } from '../src/doctor';

const FINE: Findings = {
  versions: { Editor: 'Code 1.91' },
  isTrusted: true,
  process: { kind: 'running', origin: 'here' },
  status: { state: 'ready', message: '', model: 'tiny', progress: null },
  off: undefined,
  configured: undefined,
  places: [
    { origin: '.venv of the workspace', python: 'a/python', version: undefined },
    { origin: 'python3 on PATH', python: 'python3', version: '1.0' },
  ],
  settings: { model: 'tiny' },
};

describe('the page of the doctor', () => {
  it('says where midfill was found and where not', () => {
    const page = doctorPage(FINE);
    expect(page).toContain('| .venv of the workspace | ` a/python ` | no |');
    expect(page).toContain('| python3 on PATH | ` python3 ` | 1.0 |');
    expect(page).toContain('- Editor: ` Code 1.91 `');
    expect(page).toContain('{"model":"tiny"}');
  });

  it.each<[string, Partial<Findings>]>([
    ['Nothing is wrong.', {}],
    ['run **midfill: Set Up the Server**', { process: { kind: 'missing' } }],
    ['see **midfill: Show Logs**', { process: { kind: 'stopped', reason: 'it ended' } }],
    ['in a moment', { process: { kind: 'starting', origin: 'here' } }],
    ['Suggestions are turned off for this file', { off: 'turned off for this file' }],
    ['` not pulled `', { status: { state: 'error', message: 'not pulled', model: 'tiny', progress: null } }],
  ])('begins with the advice "%s"', (advice, change) => {
    const [, body] = doctorPage({ ...FINE, ...change }).split('\n\n');
    expect(body).toContain(advice);
  });

  it('says that the setting goes before the places, and what an untrusted workspace means', () => {
    const configured = { command: 'midfill', args: ['lsp'] };
    expect(doctorPage({ ...FINE, configured })).toContain('Instead, as set: ` midfill lsp `');
    expect(doctorPage({ ...FINE, isTrusted: false })).toContain('its Pythons are left out');
  });
});
