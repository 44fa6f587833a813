import { describe, expect, it } from 'vitest';

import {
  commonPlaces,
  configured,
  firstWithMidfill,
  interpreterOf,
  workspacePlaces,
  type Surroundings,
} from '../src/discovery';
import { isNewEnough, pythonNames, setupSteps, type Plan } from '../src/setupPlan';

const AROUND: Surroundings = { platform: 'linux', folders: ['one', 'two'], ownEnvironment: 'own' };

describe('the setting for the command', () => {
  it('is a program and its arguments', () => {
    expect(configured(['midfill', ' lsp '], 'home')).toEqual({ command: 'midfill', args: ['lsp'] });
  });

  it('may be in the home folder', () => {
    expect(configured(['~/midfill', '~/a', '~b', 'a~/b'], 'home')).toEqual({
      command: 'home/midfill',
      args: ['home/a', '~b', 'a~/b'],
    });
  });

  it.each([[[]], [['']], [['  ', 'lsp']]])('is not made if it is %j', (words) => {
    expect(configured(words, 'home')).toBeUndefined();
  });
});

describe('the places', () => {
  it('of the workspace are the usual environments of its folders', () => {
    const pythons = workspacePlaces(AROUND).map(({ python }) => python);
    expect(pythons).toEqual(
      ['one/.venv', 'one/venv', 'two/.venv', 'two/venv'].map((folder) => `${folder}/bin/python`),
    );
  });

  it('of a workspace that is not trusted are none', () => {
    expect(workspacePlaces({ ...AROUND, folders: [] })).toEqual([]);
  });

  it('outside begin with our own environment', () => {
    const pythons = commonPlaces(AROUND).map(({ python }) => python);
    expect(pythons).toEqual(['own/bin/python', 'python3', 'python']);
  });

  it('have other names on Windows', () => {
    expect(interpreterOf('own', 'win32')).toBe('own\\Scripts\\python.exe');
    expect(commonPlaces({ ...AROUND, platform: 'win32' }).map(({ python }) => python)).toContain('py');
  });
});

describe('the server that is started', () => {
  const places = ['a', 'b', 'c'].map((python) => ({ python, origin: `${python} here` }));

  it('is of the first Python that has midfill, and keeps the folder out of its path', async () => {
    const asked: string[] = [];
    const found = await firstWithMidfill(places, (python) => {
      asked.push(python);
      return Promise.resolve(python === 'a' ? undefined : '1.0');
    });
    expect(found?.server.args.slice(0, 2)).toEqual(['-P', '-m']);
    expect(found?.origin).toBe('b here (midfill 1.0)');
    expect(asked).toEqual(['a', 'b']);
  });

  it('is none if no Python has midfill', async () => {
    expect(await firstWithMidfill(places, () => Promise.resolve(undefined))).toBeUndefined();
  });
});

describe('setting up', () => {
  const plan: Plan = { python: 'python3', environment: 'own', exists: false, source: 'w.whl', platform: 'linux' };

  it('makes an environment and installs into it', () => {
    const [create, install, ...more] = setupSteps(plan).map(({ run }) => run);
    expect(create).toEqual({ command: 'python3', args: ['-m', 'venv', 'own'] });
    expect(install?.command).toBe('own/bin/python');
    expect(install?.args.at(-1)).toBe('w.whl');
    expect(more).toEqual([]);
  });

  it('brings an environment that is there up to date', () => {
    expect(setupSteps({ ...plan, exists: true }).map(({ run }) => run.command)).toEqual(['own/bin/python']);
  });

  it.each([
    ['3 10', false],
    ['3 11\n', true],
    ['4 0', true],
    ['2 7', false],
    ['', false],
  ])('with a Python that says %j: %j', (printed, isEnough) => {
    expect(isNewEnough(printed)).toBe(isEnough);
  });

  it('tries names of Pythons that the platform has', () => {
    expect(pythonNames('win32')).toEqual(['python', 'py']);
    expect(pythonNames('linux')[0]).toBe('python3');
  });
});
