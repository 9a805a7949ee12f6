// What the keeper executes: `node [flags] boot.mjs javascript` or `… typescript`. It warms up, then turns
// into a template that is forked for each call; every forked child goes on below the line that serves.

import vm from 'node:vm';

import { addon } from './addon.mjs';
import { becomeCell, concludeWith, prepareProcess, rehearse, startClock } from './cell.mjs';
import { stamp } from './compiled.mjs';
import { trial } from './selftest.mjs';
import { installOutput, withoutOutput } from './stdio.mjs';

const SPARE_AFTER_MS = 1; // on a busy host the call is there by then, and warming up would only delay others

const templates = {
  javascript: () => import('./javascript_template.mjs'),
  typescript: () => import('./typescript_template.mjs'),
};

const load = templates[process.argv[2]];
if (!load) throw new Error(`usage: boot.mjs ${Object.keys(templates).join('|')}`);
const { actions, probeCall, sampleCall, selfTest, warmTemplate, warmCell } = await load();

installOutput();
prepareProcess(`mayfly-${process.argv[2]}`);
await withoutOutput(warmTemplate);
await withoutOutput(() => rehearse(() => serveCall(() => sampleCall)));
setImmediate(serve); // so that nothing of this module is still being evaluated in a cell

function serve() {
  const drawFresh = () => vm.runInNewContext('Math.random()');
  const version = `Node.js ${process.versions.node} #${stamp}`;
  const role = addon.serve(version, () => Math.random(), drawFresh, probeCall?.());

  becomeCell();
  if (role === 'trial') trial();
  else if (role === 'selftest') selfTest();
  else prepareCell();
}

/** A spare cell has time: it takes the path of a call once, so that its pages are its own already. */
async function prepareCell() {
  if (addon.waiting(SPARE_AFTER_MS)) return serveCall(addon.receive);
  await withoutOutput(warmCell);
  setImmediate(serveCall, addon.receive); // a script begins in a turn of the event loop, not among promises
}

function serveCall(receive) {
  const call = receive();
  startClock();
  const action = actions[call.mode];
  if (!action) throw new Error(`this template has no action for mode ${call.mode}`);
  return concludeWith(action(call));
}
