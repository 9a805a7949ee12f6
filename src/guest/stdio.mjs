// process.stdout and process.stderr of a cell. Node.js's own pipes may hold back what the reader is slow to
// take, and what they hold is lost when the process ends; these have written when write() returns. They need
// no event loop, so the template can make them and warm console.log.

import { writeSync } from 'node:fs';
import { Writable } from 'node:stream';

let muted = false;

/** Runs a function whose output goes nowhere: for warming up. */
export async function withoutOutput(run) {
  muted = true;
  try {
    return await run();
  } finally {
    muted = false;
  }
}

class Output extends Writable {
  _type = 'pipe';
  _isStdio = true;

  constructor(fd) {
    super({ emitClose: false });
    this.fd = fd;
  }

  _write(chunk, encoding, done) {
    try {
      if (!muted) writeWhole(this.fd, chunk);
      done();
    } catch (error) {
      done(error);
    }
  }

  // As with Node.js's own: stdout stays open whoever pipes into it.
  destroySoon() {
    this.destroy();
  }

  _destroy(error, done) {
    done(error);
  }
}

function writeWhole(fd, bytes) {
  for (let done = 0; done < bytes.length;) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      // A script that has made the pipe non-blocking waits here for its reader.
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** In the template, before anything has printed. */
export function installOutput() {
  for (const [name, fd] of [
    ['stdout', 1],
    ['stderr', 2],
  ]) {
    const stream = new Output(fd);
    Object.defineProperty(process, name, { get: () => stream, enumerable: true, configurable: true });
  }
}
