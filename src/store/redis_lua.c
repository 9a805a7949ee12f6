/*
 * Scripts run in Redis one after the other, so each of them is atomic; but one that fails half way is not
 * undone. So each looks first at everything it will touch (a key of a wrong kind fails there), and writes in
 * an order in which what came before is no harm: the function's hash, which makes a version the latest, last.
 *
 * Those of one function all take
 *   KEYS: 1 function, 2 versions, 3 aliases, 4 functions, 5 changes, 6 meta:<md5>, 7 meta:<md5>:version
 *   ARGV: 1 what versions' keys begin with, 2 what go-faas' code's keys begin with, 3 path, 4 node
 * and answer a list that begins with a word: ok, missing, used (and the alias), full, damaged (and what is).
 * Lua counts in doubles: numbers stay below 2^53 and are written with %.0f.
 *
 * Where memory is full, Redis refuses a script whose first write takes memory. So scripts that keep begin
 * with such a one (XADD), and scripts that remove with one that takes none.
 */

#include "store/redis_lua.h"

/* What they share: last, latest: the numbers of ours; old, old_language: the latest of go-faas; old_damage:
 * why go-faas' data cannot be used. */
#define LUA_COMMON                                                                                           \
        "local END = 9007199254740992 "                                                                      \
        "local function text(n) return string.format('%.0f', n) end "                                        \
        "local function kind(key) return redis.call('TYPE', key).ok end "                                    \
        "local function whole(s) "                                                                           \
        " if not s then return 0 end "                                                                       \
        " local n = #s <= 16 and string.find(s, '^%d+$') and tonumber(s) "                                   \
        " if n and n < END then return n end "                                                               \
        "end "                                                                                               \
        "local function strict(s) "                                                                          \
        " if s and #s <= 15 and string.find(s, '^[1-9]%d*$') then return tonumber(s) end "                   \
        "end "                                                                                               \
        "local function go_faas(key, path) "                                                                 \
        " local k = kind(key) "                                                                              \
        " if k == 'none' then return 0 end "                                                                 \
        " if k ~= 'hash' then return 0, '', key .. ' is not a hash' end "                                    \
        " local m = redis.call('HMGET', key, 'path', 'language', 'latest') "                                 \
        " if m[1] and m[1] ~= path then return 0, '', key .. ' is of another path' end "                     \
        " if not m[2] then return 0, '', key .. ' has no language' end "                                     \
        " local n = strict(m[3]) "                                                                           \
        " if not n then return 0, '', key .. ' has no valid latest' end "                                    \
        " return n, m[2] "                                                                                   \
        "end "

/* Redis 5 may be set to send scripts instead of what they did to its replicas; later ones never do. */
#define LUA_EFFECTS "if redis.replicate_commands then redis.replicate_commands() end "

#define LUA_FUNCTION                                                                                         \
        LUA_COMMON                                                                                           \
        "local F, V, A, I, C, M, S = unpack(KEYS) "                                                          \
        "local vpre, cpre, path, node = ARGV[1], ARGV[2], ARGV[3], ARGV[4] "                                 \
        "local f = redis.call('HMGET', F, 'last', 'latest') "                                                \
        "local last, latest = whole(f[1]), whole(f[2]) "                                                     \
        "if not (last and latest) then return {'damaged', F .. ' has no valid numbers'} end "                \
        "local old, old_language, old_damage = go_faas(M, path) "                                            \
        "local newest = math.max(latest, old) "                                                              \
        "local function absent() "                                                                           \
        " if old_damage and latest == 0 then return {'damaged', old_damage} end "                            \
        " return {'missing'} "                                                                               \
        "end "                                                                                               \
        "local function ours(n) return redis.call('ZSCORE', V, text(n)) end "                                \
        "local function theirs(n) return old > 0 and n > 0 and kind(cpre .. text(n)) == 'string' end "

/* Looks at the kinds of what is written, and writes. */
#define LUA_WRITE                                                                                            \
        LUA_EFFECTS                                                                                          \
        LUA_FUNCTION                                                                                         \
        "redis.call('ZCARD', V) "                                                                            \
        "redis.call('HLEN', A) "                                                                             \
        "redis.call('ZCARD', I) "                                                                            \
        "redis.call('XLEN', C) "                                                                             \
        "local function changed() "                                                                          \
        " redis.call('XADD', C, 'MAXLEN', '~', '4096', '*', 'path', path, 'node', node) "                    \
        "end "                                                                                               \
        "local function summary(n, language, size, hash, created, limits) "                                  \
        " if limits then redis.call('HSET', F, 'limits', limits) else redis.call('HDEL', F, 'limits') end "  \
        " redis.call('HSET', F, 'last', text(math.max(last, n)), 'latest', text(n), 'language', language, "  \
        "  'size', size, 'hash', hash, 'created', created) "                                                 \
        "end "                                                                                               \
        "local function limits_from(at) "                                                                    \
        " for i = at, #ARGV, 2 do if ARGV[i] == 'limits' then return ARGV[i + 1] end end "                   \
        " return false "                                                                                     \
        "end "                                                                                               \
        "local function keep(n, created, language, hash, size, code, at) "                                   \
        " local key = vpre .. text(n) "                                                                      \
        " changed() "                                                                                        \
        " redis.call('DEL', key) "                                                                           \
        " redis.call('HSET', key, 'language', language, 'hash', hash, 'size', size, 'created', created, "    \
        "  'code', code, unpack(ARGV, at)) "                                                                 \
        " redis.call('ZADD', I, 0, path) "                                                                   \
        " redis.call('ZADD', V, text(n), text(n)) "                                                          \
        "end "

/* What is needed to upload and to see others' changes: on a key of its own that is gone again, and, where
 * only looking is possible, on those that all functions share. KEYS: 1 its own, 2 functions, 3 changes. */
#define LUA_CHECK                                                                                            \
        LUA_EFFECTS                                                                                          \
        "local k = KEYS[1] "                                                                                 \
        "redis.call('ZCARD', KEYS[2]) "                                                                      \
        "redis.call('XLEN', KEYS[3]) "                                                                       \
        "redis.call('XADD', k, 'MAXLEN', '~', '4096', '*', 'node', ARGV[1]) "                                \
        "redis.call('XRANGE', k, '-', '+', 'COUNT', 1) "                                                     \
        "redis.call('DEL', k) "                                                                              \
        "redis.call('ZADD', k, 0, ARGV[1]) "                                                                 \
        "redis.call('ZRANGEBYLEX', k, '-', '+', 'LIMIT', 0, 1) "                                             \
        "redis.call('DEL', k) "                                                                              \
        "redis.call('HSET', k, 'node', ARGV[1]) "                                                            \
        "redis.call('HMGET', k, 'node') "                                                                    \
        "redis.call('UNLINK', k) "                                                                           \
        "return {'ok'} "

/* 5 now, 6 language, 7 hash, 8 size, 9 code, then names and values → ok, number, 1: kept, 0: was there. */
#define LUA_PUT                                                                                              \
        LUA_WRITE                                                                                            \
        "local now, language, hash, size, code = whole(ARGV[5]), ARGV[6], ARGV[7], ARGV[8], ARGV[9] "        \
        "local limits = limits_from(10) "                                                                    \
        "if latest > 0 and latest >= old then "                                                              \
        " local v = redis.call('HMGET', vpre .. text(latest), 'language', 'hash', 'limits', 'code') "        \
        " if v[1] == language and (v[2] == hash or v[2] == '') and v[3] == limits and v[4] == code and "     \
        "  ours(latest) then "                                                                               \
        "  return {'ok', text(latest), 0} "                                                                  \
        " end "                                                                                              \
        "elseif old > 0 and not limits and old_language == language and theirs(old) and "                    \
        " redis.call('GET', cpre .. text(old)) == code then "                                                \
        " redis.call('ZADD', I, 0, path) "                                                                   \
        " return {'ok', text(old), 0} "                                                                      \
        "end "                                                                                               \
        "local n = math.max(now, last + 1, latest + 1, old + 1) "                                            \
        "if n >= END then return {'damaged', F .. ' has no further number'} end "                            \
        "keep(n, ARGV[5], language, hash, size, code, 10) "                                                  \
        "summary(n, language, size, hash, ARGV[5], limits) "                                                 \
        "return {'ok', text(n), 1} "

/* 5 number, 6 time, 7 language, 8 hash, 9 size, 10 code, then names and values → as PUT. */
#define LUA_RESTORE                                                                                          \
        LUA_WRITE                                                                                            \
        "local n = whole(ARGV[5]) "                                                                          \
        "if ours(n) or theirs(n) then return {'ok', text(newest), 0} end "                                   \
        "keep(n, ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], 11) "                                         \
        "if n > latest then "                                                                                \
        " summary(n, ARGV[7], ARGV[9], ARGV[8], ARGV[6], limits_from(11)) "                                  \
        "end "                                                                                               \
        "return {'ok', text(math.max(n, newest)), 1} "

/* 5 number or 0, 6 alias or empty → ok, latest, go-faas' latest, number, 1: go-faas', what it consists of. */
#define LUA_GET                                                                                              \
        LUA_FUNCTION                                                                                         \
        "local n = whole(ARGV[5]) "                                                                          \
        "if ARGV[6] ~= '' then "                                                                             \
        " n = redis.call('HGET', A, ARGV[6]) "                                                               \
        " if not n then return absent() end "                                                                \
        " n = whole(n) "                                                                                     \
        " if not n or n == 0 then return {'damaged', A .. ' has no valid number'} end "                      \
        "elseif n == 0 then "                                                                                \
        " n = newest "                                                                                       \
        "end "                                                                                               \
        "if n == 0 then return absent() end "                                                                \
        "local key = vpre .. text(n) "                                                                       \
        "if ours(n) then "                                                                                   \
        " local v = redis.call('HMGET', key, 'language', 'created', 'hash', 'code', 'compiled', 'map', "     \
        "  'limits', 'cache', 'cache_for', 'imports') "                                                      \
        " if not (v[1] and v[2] and v[3] and v[4]) then return {'damaged', key .. ' is not whole'} end "     \
        " return {'ok', text(newest), text(old), text(n), 0, v} "                                            \
        "end "                                                                                               \
        "if old == 0 then return absent() end "                                                              \
        "local source = cpre .. text(n) "                                                                    \
        "local k = kind(source) "                                                                            \
        "if k == 'none' then "                                                                               \
        " if n == newest and n == old then return {'damaged', source .. ', the latest, is not there'} end "  \
        " return {'missing'} "                                                                               \
        "end "                                                                                               \
        "if k ~= 'string' then return {'damaged', source .. ' is not a string'} end "                        \
        "local code = redis.call('GET', source) "                                                            \
        "local v = redis.call('HMGET', key, 'of', 'compiled', 'map', 'cache', 'cache_for', 'imports') "      \
        "if not v[1] or v[1] ~= redis.sha1hex(code) then v = {false, false, false, false, false, false} "    \
        "end "                                                                                               \
        "return {'ok', text(newest), text(old), text(n), 1, {old_language, text(n * 1000), '', code, v[2], " \
        " v[3], false, v[4], v[5], v[6]}} "

/* 5 number, 6 SHA-1 of the code that it was compiled from, or empty; then names and values. go-faas writes
 * over a version of the same second: what was compiled from another code is not kept. */
#define LUA_KEEP_COMPILED                                                                                    \
        LUA_EFFECTS                                                                                          \
        LUA_FUNCTION                                                                                         \
        "local n = whole(ARGV[5]) "                                                                          \
        "local key = vpre .. text(n) "                                                                       \
        "if ours(n) then "                                                                                   \
        " redis.call('HDEL', key, 'compiled', 'map', 'cache', 'cache_for', 'imports') "                      \
        " if ARGV[7] then redis.call('HSET', key, unpack(ARGV, 7)) end "                                     \
        " return {'ok'} "                                                                                    \
        "end "                                                                                               \
        "if not theirs(n) then return absent() end "                                                         \
        "if redis.sha1hex(redis.call('GET', cpre .. text(n))) == ARGV[6] then "                              \
        " redis.call('DEL', key) "                                                                           \
        " redis.call('HSET', key, 'of', ARGV[6], unpack(ARGV, 7)) "                                          \
        "end "                                                                                               \
        "return {'ok'} "

/* 5 number below which, 6 how many, 7 "all": go-faas' that have no code too → ok, latest, 1: there are more,
 * aliases, versions: each number, language, size, hash, time, limits. */
#define LUA_DESCRIBE                                                                                         \
        LUA_FUNCTION                                                                                         \
        "if newest == 0 then return absent() end "                                                           \
        "local before, limit = whole(ARGV[5]), whole(ARGV[6]) "                                              \
        "if before == 0 then before = END end "                                                              \
        "local mine = redis.call('ZREVRANGEBYSCORE', V, '(' .. text(before), '-inf', 'LIMIT', 0, limit + "   \
        "1) "                                                                                                \
        "local others = {} "                                                                                 \
        "if old > 0 then "                                                                                   \
        " local seen = {} "                                                                                  \
        " local function add(n) "                                                                            \
        "  if n and n < before and not seen[n] then seen[n] = true; others[#others + 1] = n end "            \
        " end "                                                                                              \
        " add(old) "                                                                                         \
        " if kind(S) == 'set' then "                                                                         \
        "  for _, s in ipairs(redis.call('SMEMBERS', S)) do add(strict(s)) end "                             \
        " end "                                                                                              \
        " table.sort(others, function(a, b) return a > b end) "                                              \
        "end "                                                                                               \
        "local out, i, j = {}, 1, 1 "                                                                        \
        "while #out <= limit and (mine[i] or others[j]) do "                                                 \
        " local m, o = mine[i] and tonumber(mine[i]) or 0, others[j] or 0 "                                  \
        " if m >= o then "                                                                                   \
        "  local v = redis.call('HMGET', vpre .. mine[i], 'language', 'size', 'hash', 'created', 'limits') " \
        "  if not (v[1] and v[2] and v[3] and v[4]) then "                                                   \
        "   return {'damaged', vpre .. mine[i] .. ' is not whole'} "                                         \
        "  end "                                                                                             \
        "  out[#out + 1] = {mine[i], v[1], v[2], v[3], v[4], v[5]} "                                         \
        "  i = i + 1 "                                                                                       \
        "  if m == o then j = j + 1 end "                                                                    \
        " else "                                                                                             \
        "  if theirs(o) or ARGV[7] == 'all' then "                                                           \
        "   local size = theirs(o) and redis.call('STRLEN', cpre .. text(o)) or 0 "                          \
        "   out[#out + 1] = {text(o), old_language, text(size), '', text(o * 1000), false} "                 \
        "  end "                                                                                             \
        "  j = j + 1 "                                                                                       \
        " end "                                                                                              \
        "end "                                                                                               \
        "local more = 0 "                                                                                    \
        "if #out > limit then more = 1; out[#out] = nil end "                                                \
        "local language = old_language "                                                                     \
        "if latest >= old then language = redis.call('HGET', F, 'language') end "                            \
        "if not language then return {'damaged', F .. ' is not whole'} end "                                 \
        "return {'ok', text(newest), more, redis.call('HGETALL', A), out, language} "

/* 5 number. */
#define LUA_REMOVE                                                                                           \
        LUA_WRITE                                                                                            \
        "local n = whole(ARGV[5]) "                                                                          \
        "local mine, other = ours(n), theirs(n) "                                                            \
        "if not (mine or other) then return absent() end "                                                   \
        "local aliases, user = redis.call('HGETALL', A), nil "                                               \
        "for i = 1, #aliases, 2 do "                                                                         \
        " if aliases[i + 1] == text(n) and (not user or aliases[i] < user) then user = aliases[i] end "      \
        "end "                                                                                               \
        "if user then return {'used', user} end "                                                            \
        "redis.call('HDEL', F, '') "                                                                         \
        "changed() "                                                                                         \
        "redis.call('HSET', F, 'last', text(math.max(last, newest, n))) "                                    \
        "if mine then "                                                                                      \
        " if n == latest then "                                                                              \
        "  local next = redis.call('ZREVRANGEBYSCORE', V, '(' .. text(n), '-inf', 'LIMIT', 0, 1)[1] "        \
        "  local v = next and redis.call('HMGET', vpre .. next, "                                            \
        "   'language', 'size', 'hash', 'created', 'limits') or {} "                                         \
        "  latest = 0 "                                                                                      \
        "  redis.call('HDEL', F, 'latest', 'language', 'size', 'hash', 'created', 'limits') "                \
        "  if v[1] then "                                                                                    \
        "   latest = tonumber(next) "                                                                        \
        "   last = math.max(last, newest, n) "                                                               \
        "   summary(latest, v[1], v[2] or '0', v[3] or '', v[4] or '0', v[5]) "                              \
        "  end "                                                                                             \
        " end "                                                                                              \
        " redis.call('ZREM', V, text(n)) "                                                                   \
        "end "                                                                                               \
        "redis.call('UNLINK', vpre .. text(n)) "                                                             \
        "if other then "                                                                                     \
        " if n == old then "                                                                                 \
        "  local next = 0 "                                                                                  \
        "  if kind(S) == 'set' then "                                                                        \
        "   for _, s in ipairs(redis.call('SMEMBERS', S)) do "                                               \
        "    local o = strict(s) "                                                                           \
        "    if o and o ~= n and o > next and theirs(o) then next = o end "                                  \
        "   end "                                                                                            \
        "  end "                                                                                             \
        "  if next > 0 then redis.call('HSET', M, 'latest', text(next)) else redis.call('DEL', M, S) end "   \
        "  old = next "                                                                                      \
        " end "                                                                                              \
        " redis.call('UNLINK', cpre .. text(n)) "                                                            \
        " if kind(S) == 'set' then redis.call('SREM', S, text(n)) end "                                      \
        "end "                                                                                               \
        "if latest == 0 and old == 0 then redis.call('ZREM', I, path) end "                                  \
        "return {'ok'} "

/* 5 the highest number that goes, or 0: of now, 6 how many at a time → ok, 1: there are more, that number.
 * The oldest go first and go-faas' latest at the end, so what is half removed still has its latest. */
#define LUA_REMOVE_ALL                                                                                       \
        LUA_WRITE                                                                                            \
        "local top, slice = whole(ARGV[5]), whole(ARGV[6]) "                                                 \
        "if top == 0 then "                                                                                  \
        " if newest == 0 then return absent() end "                                                          \
        " top = math.max(last, newest) "                                                                     \
        "end "                                                                                               \
        "redis.call('DEL', A) "                                                                              \
        "changed() "                                                                                         \
        "redis.call('HSET', F, 'last', text(math.max(last, newest))) "                                       \
        "local mine = redis.call('ZRANGEBYSCORE', V, '-inf', text(top), 'LIMIT', 0, slice) "                 \
        "for _, n in ipairs(mine) do "                                                                       \
        " redis.call('ZREM', V, n) "                                                                         \
        " redis.call('UNLINK', vpre .. n) "                                                                  \
        "end "                                                                                               \
        "if latest <= top and not ours(latest) then "                                                        \
        " redis.call('HDEL', F, 'latest', 'language', 'size', 'hash', 'created', 'limits') "                 \
        " latest = 0 "                                                                                       \
        "end "                                                                                               \
        "if #mine == slice then return {'ok', 1, text(top)} end "                                            \
        "if old > 0 and old <= top then "                                                                    \
        " local set = kind(S) == 'set' "                                                                     \
        " if set then "                                                                                      \
        "  redis.call('SREM', S, text(old)) "                                                                \
        "  for _, s in ipairs(redis.call('SRANDMEMBER', S, slice)) do "                                      \
        "   if strict(s) then redis.call('UNLINK', cpre .. s, vpre .. s) end "                               \
        "   redis.call('SREM', S, s) "                                                                       \
        "  end "                                                                                             \
        "  if redis.call('SCARD', S) > 0 then return {'ok', 1, text(top)} end "                              \
        " end "                                                                                              \
        " redis.call('UNLINK', cpre .. text(old), vpre .. text(old)) "                                       \
        " redis.call('DEL', M) "                                                                             \
        " old = 0 "                                                                                          \
        "end "                                                                                               \
        "if latest == 0 and old == 0 then redis.call('ZREM', I, path) end "                                  \
        "return {'ok', 0, text(top)} "

/* 5 alias, 6 number, 7 how many a function may have. */
#define LUA_SET_ALIAS                                                                                        \
        LUA_WRITE                                                                                            \
        "local n = whole(ARGV[6]) "                                                                          \
        "if not (ours(n) or theirs(n)) then return absent() end "                                            \
        "if redis.call('HEXISTS', A, ARGV[5]) == 0 and redis.call('HLEN', A) >= tonumber(ARGV[7]) then "     \
        " return {'full'} "                                                                                  \
        "end "                                                                                               \
        "changed() "                                                                                         \
        "redis.call('HSET', A, ARGV[5], text(n)) "                                                           \
        "return {'ok'} "

/* 5 alias. */
#define LUA_REMOVE_ALIAS                                                                                     \
        LUA_WRITE                                                                                            \
        "if redis.call('HEXISTS', A, ARGV[5]) == 0 then return {'missing'} end "                             \
        "redis.call('HDEL', A, ARGV[5]) "                                                                    \
        "changed() "                                                                                         \
        "return {'ok'} "

/* KEYS: 1 functions; ARGV: 1 prefix, then pairs of path and MD5 of path → ok, a list with each path's
 * summary: path, number, language, size, hash, time, limits, count; or false. Paths that are none any more
 * leave the index; where it cannot be written, next time. */
#define LUA_LIST                                                                                             \
        LUA_EFFECTS                                                                                          \
        LUA_COMMON                                                                                           \
        "local p, out = ARGV[1], {} "                                                                        \
        "for i = 2, #ARGV, 2 do "                                                                            \
        " local path, M = ARGV[i], 'meta:' .. ARGV[i + 1] "                                                  \
        " local F, V = p .. 'function:' .. path, p .. 'versions:' .. path "                                  \
        " local f = redis.call('HMGET', F, 'latest', 'language', 'size', 'hash', 'created', 'limits') "      \
        " local latest, row = whole(f[1]), false "                                                           \
        " if not latest or latest > 0 and not (f[2] and f[3] and f[4] and f[5]) then "                       \
        "  return {'damaged', F .. ' is not whole'} "                                                        \
        " end "                                                                                              \
        " local old, language, damage = go_faas(M, path) "                                                   \
        " local count = redis.call('ZCARD', V) "                                                             \
        " if old > 0 and kind(M .. ':version') == 'set' then "                                               \
        "  count = count + redis.call('SCARD', M .. ':version') "                                            \
        "  if redis.call('SISMEMBER', M .. ':version', text(old)) == 0 then count = count + 1 end "          \
        " elseif old > 0 then "                                                                              \
        "  count = count + 1 "                                                                               \
        " end "                                                                                              \
        " if latest > 0 and latest >= old then "                                                             \
        "  row = {path, f[1], f[2], f[3], f[4], f[5], f[6], text(count)} "                                   \
        " elseif old > 0 then "                                                                              \
        "  local code = 'code:' .. ARGV[i + 1] .. ':' .. text(old) "                                         \
        "  if kind(code) == 'string' then "                                                                  \
        "   row = {path, text(old), language, text(redis.call('STRLEN', code)), '', text(old * 1000), "      \
        "    false, text(count)} "                                                                           \
        "  end "                                                                                             \
        " elseif not damage then "                                                                           \
        "  redis.pcall('ZREM', KEYS[1], path) "                                                              \
        " end "                                                                                              \
        " out[#out + 1] = row "                                                                              \
        "end "                                                                                               \
        "return {'ok', out} "

/* KEYS: 1 changes, then meta:<md5> of paths; ARGV: 1 the entry seen last, 2 how many at most → ok, entries
 * from that one on, each path's latest. */
#define LUA_WATCH                                                                                            \
        "local out = {} "                                                                                    \
        "for i = 2, #KEYS do "                                                                               \
        " local n = redis.pcall('HGET', KEYS[i], 'latest') "                                                 \
        " out[#out + 1] = type(n) == 'string' and n "                                                        \
        "end "                                                                                               \
        "return {'ok', redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2]), out} "

/* KEYS: keys of the form meta:<md5> → ok, each one's path, or false. */
#define LUA_PATHS                                                                                            \
        "local out = {} "                                                                                    \
        "for i = 1, #KEYS do "                                                                               \
        " local path = redis.pcall('HGET', KEYS[i], 'path') "                                                \
        " out[i] = type(path) == 'string' and path "                                                         \
        "end "                                                                                               \
        "return {'ok', out} "

const char *const redis_lua[REDIS_SCRIPTS] = {
        [REDIS_SCRIPT_CHECK] = LUA_CHECK,
        [REDIS_SCRIPT_PUT] = LUA_PUT,
        [REDIS_SCRIPT_GET] = LUA_GET,
        [REDIS_SCRIPT_KEEP_COMPILED] = LUA_KEEP_COMPILED,
        [REDIS_SCRIPT_LIST] = LUA_LIST,
        [REDIS_SCRIPT_DESCRIBE] = LUA_DESCRIBE,
        [REDIS_SCRIPT_REMOVE] = LUA_REMOVE,
        [REDIS_SCRIPT_REMOVE_ALL] = LUA_REMOVE_ALL,
        [REDIS_SCRIPT_SET_ALIAS] = LUA_SET_ALIAS,
        [REDIS_SCRIPT_REMOVE_ALIAS] = LUA_REMOVE_ALIAS,
        [REDIS_SCRIPT_RESTORE] = LUA_RESTORE,
        [REDIS_SCRIPT_WATCH] = LUA_WATCH,
        [REDIS_SCRIPT_PATHS] = LUA_PATHS,
};
