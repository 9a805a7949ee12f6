'use strict';

// Stands in for node.c where a test needs no fork: the process itself becomes the one cell. The call comes from
// $FAKE_CALL, the frames leave as lines of JSON on descriptor 3.

const { writeSync } = require('node:fs');

const { pid, reallyExit } = process;
const call = JSON.parse(process.env.FAKE_CALL ?? 'null');
const role = process.env.FAKE_ROLE ?? 'cell';

const words = {
  FRAME_RESULT: 65,
  FRAME_NOTHING: 66,
  FRAME_ERROR: 67,
  FRAME_SYNTAX: 68,
  FRAME_COMPILED: 69,
  GUEST_RUN: 1,
  GUEST_CHECK: 2,
  GUEST_COMPILE: 3,
  GUEST_JAVASCRIPT: 1,
  GUEST_TYPESCRIPT: 2,
};
const nameOf = (kind) => Object.keys(words).find((name) => name.startsWith('FRAME_') && words[name] === kind);

module.exports = {
  ...words,
  serve: () => role,
  randomFound: () => process.env.FAKE_RANDOM_FOUND !== '0',
  waiting: () => process.env.FAKE_WAITING !== '0',
  receive: () => ({
    ...call,
    mode: words[call.mode],
    language: words[call.language],
    cache: call.cache && Buffer.from(call.cache, 'base64'),
  }),
  fitHeap: () => {},
  send: (kind, body) =>
    writeSync(3, `${JSON.stringify([nameOf(kind), String(body), Buffer.from(body).toString('base64')])}\n`),
  exit: reallyExit,
  pid: () => pid,
};
