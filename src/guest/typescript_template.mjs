// The template that compiles TypeScript at upload. It runs no script.

import { addon } from './addon.mjs';
import { compiledFrame } from './compiled.mjs';
import { describe } from './report.mjs';
import { selfTestTypeScript } from './selftest.mjs';
import { compileTypeScript } from './typescript.mjs';

export const actions = { [addon.GUEST_CHECK]: compile };
export const selfTest = () => selfTestTypeScript(compileTypeScript);

const ROUNDS = 12; // the compiler's functions are many, and lazily compiled themselves

const USUAL = `
import type { Stats } from 'node:fs';
import { readFileSync } from 'node:fs';
enum Color { Red, Green = 'g' }
namespace Shapes { export const sides = (n: number): number => n; }
abstract class Base<T extends object = {}> {
  static #count = 0;
  constructor(protected readonly name: string, public value?: T) { Base.#count++; }
  get size(): number { return this.name.length; }
}
function logged<T extends (...args: any[]) => any>(target: T, context: ClassMethodDecoratorContext) {
  return target;
}
class Point extends Base {
  @logged move(by: { x: number; y?: number }) { return { ...by, size: this.size! }; }
}
interface Event { items: Array<number | string>; }
export const handler = async ({ items }: Event) => {
  for (const [i, item] of items.entries()) {
    if (typeof item === 'string') continue; else await Shapes.sides(item as number);
  }
  const text = \`\${Color.Green} \${items.map((x) => x ?? 0).join()}\`;
  return new Point('p').move({ x: 1 })?.x satisfies number;
};`;

export const sampleCall = {
  mode: addon.GUEST_CHECK,
  language: addon.GUEST_TYPESCRIPT,
  code: USUAL,
  map: '',
  input: '{}',
};

async function compile({ code: text }) {
  return compiledFrame(compileTypeScript(text));
}

export async function warmTemplate() {
  for (let i = 0; i < ROUNDS; i++) {
    await compile(sampleCall);
    await compile({ code: 'const x: = 1;' }).catch(describe);
    await compile({ code: 'return await 1;' });
  }
}

export async function warmCell() {
  await compile(sampleCall);
}
