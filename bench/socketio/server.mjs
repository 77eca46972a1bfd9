// The usual way: a room of Socket.IO, and one Lua call of ioredis for each vote.
//
// It is given what helps it: WebSocket only, no compression, native addons for masking and UTF-8, pings far apart, one
// script call that does everything, and no check of who votes.
//
// Environment: PORT; PAYLOAD, bytes of a broadcast's text; REDIS, a port: votes are stored there before they are answered,
// else answered at once.

import { createServer } from 'node:http';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';

const { PORT, PAYLOAD, REDIS } = process.env;
const FAR_APART_MS = 600_000;
const BUDGET = 100;
// the text of a broadcast is 42["t","…"]
const FRAMING = 10;

const VOTE = `
local ballot = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if #ballot >= tonumber(ARGV[4]) or #ballot + 1 ~= tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ballot .. ARGV[3])
redis.call('HINCRBY', KEYS[2], ARGV[3], 1)
local version = redis.call('INCR', KEYS[3])
redis.call('PUBLISH', KEYS[4], version)
return version
`;

const redis = REDIS && new Redis(Number(REDIS), '127.0.0.1');
redis?.defineCommand('vote', { numberOfKeys: 4, lua: VOTE });

const http = createServer();
const io = new Server(http, {
  transports: ['websocket'],
  perMessageDeflate: false,
  pingInterval: FAR_APART_MS,
  pingTimeout: FAR_APART_MS,
  serveClient: false,
});

const payload = 'x'.repeat(Number(PAYLOAD) - FRAMING);

io.on('connection', (socket) => {
  socket.join('hall');
  socket.on('b', () => io.to('hall').emit('t', payload));
  socket.on('v', async ({ v: voter, r: round, s: slip, c: choice }, answer) => {
    if (!redis) return answer({ ok: slip });
    try {
      const version = await redis.vote(`{p}:b:${round}`, `{p}:t:${round}`, '{p}:v', '{p}:feed', voter, slip, choice, BUDGET);
      answer(version > 0 ? { ok: slip } : { refused: 'slip' });
    } catch (error) {
      answer({ refused: String(error) });
    }
  });
});

http.listen({ host: '127.0.0.1', port: Number(PORT), backlog: 4096 });
