// The event as it was sent, the result as it was returned: integers of any size survive both ways.

const { parse, stringify, rawJSON } = JSON;

const LONG_NUMBER = /\d{16}/; // below that every integer is exact
const INTEGER = /^-?\d+$/;
const PLAIN_NAME = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

/** The value of a JSON text. Integers that a number cannot hold become BigInt. */
export function parseInput(text) {
  return LONG_NUMBER.test(text) ? parse(text, keepInteger) : parse(text);
}

function keepInteger(key, value, { source }) {
  const isInexact = typeof value === 'number' && !Number.isSafeInteger(value) && INTEGER.test(source);
  return isInexact ? BigInt(source) : value;
}

/**
 * A result as JSON. What JSON.stringify would quietly turn into null (NaN, Infinity) or refuse (a cycle) is
 * an error that says where; BigInt becomes an integer. For the rest it is JSON.stringify: toJSON is asked,
 * functions and undefined inside objects are left out.
 */
export function stringifyResult(value) {
  if (typeof value === 'function' || typeof value === 'symbol') throw unfit('result', `a ${typeof value}`);
  try {
    const text = stringify(value);
    // The native path is many times faster, and where no null came out no number was lost.
    if (text !== undefined && !text.includes('null')) return text;
  } catch (error) {
    if (!(error instanceof TypeError)) throw tooDeep(error);
  }
  return stringifyCarefully(value);
}

function stringifyCarefully(value) {
  const chain = []; // of {holder, path}, from the result to the value being written
  const text = stringify(value, function check(key, item) {
    while (chain.length > 0 && chain.at(-1).holder !== this) chain.pop();
    const path = chain.length === 0 ? 'result' : chain.at(-1).path + step(this, key);
    if (typeof item === 'bigint') return rawJSON(String(item));
    if (typeof item === 'number' && !Number.isFinite(item)) throw unfit(path, String(item));
    if (typeof item === 'object' && item !== null) {
      const outer = chain.find(({ holder }) => holder === item);
      if (outer) throw unfit(path, `a reference back to ${outer.path}`);
      chain.push({ holder: item, path });
    }
    return item;
  });
  if (text === undefined) throw unfit('result', 'a toJSON() that returns nothing');
  return text;
}

function step(holder, key) {
  if (Array.isArray(holder)) return `[${key}]`;
  return PLAIN_NAME.test(key) ? `.${key}` : `[${stringify(key)}]`;
}

function unfit(path, what) {
  return new TypeError(
    `${path} is ${what}, which JSON cannot hold; return plain data (null, a string) in its place`,
  );
}

function tooDeep(error) {
  return error instanceof RangeError
    ? new RangeError(`the result cannot be written as JSON: ${error.message}`)
    : error;
}
