// SPDX-License-Identifier: Apache-2.0
// Listens, has a child in its process group, and does not stop when asked to.
import { spawn } from 'node:child_process';
import http from 'node:http';
import { where } from './routes.mjs';

process.on('SIGTERM', () => {});
spawn('sleep', ['1000'], { stdio: 'ignore' });
http.createServer((request, response) => response.end('still here\n')).listen(where());
