-- rules.go in Lua: see there for the why of each number.
-- KEYS: the state, then the processes that fail, are slow, and work.
-- ARGV: channel, origin, kind, process, rank, generation, failures, silence.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local sets = {KEYS[2], KEYS[3], KEYS[4]}
local FAILING, SLOW, WORKING = 1, 2, 3
local kind, process, rank, gen = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])

local names = {'phase', 'gen', 'since', 'limit', 'failures', 'silence', 'calm', 'raised', 'quiet', 'voices', 'next', 'leased', 'restated', 'round'}
local found = redis.pcall('HMGET', KEYS[1], unpack(names))

-- What somebody else wrote here is thrown away: another type,
local function is_error(reply) return reply == nil or type(reply) == 'table' and reply.err ~= nil end
local ours = not is_error(found)
for _, set in ipairs(sets) do ours = ours and not is_error(redis.pcall('ZCARD', set)) end
if not ours then
	redis.call('DEL', unpack(KEYS))
	found = {}
end
local s = {}
for i, name in ipairs(names) do s[name] = tonumber(found[i]) or 0 end
if s.limit == 0 then s.limit = 65536 end
local CALM, ALERT, DOWN, RECOVERY = 0, 1, 2, 3

local function size(set) return redis.call('ZCARD', sets[set]) end
local function estimate(heard) return math.floor(heard * 65536 / s.limit) end
local function forget_voices() redis.call('DEL', unpack(sets)) end

local function change(to)
	s.phase, s.gen = to, math.max(s.gen + 1, now)
	s.since, s.round, s.failures = now, now, 0
	forget_voices()
	if to == CALM then s.silence = 0 end
end

-- or a number that is none, or out of all reason.
local function is_number(n) return n == n and n >= 0 and n <= 4503599627370496 and n == math.floor(n) end
local function is_sound()
	for _, name in ipairs(names) do
		if not is_number(s[name]) then return false end
	end
	return s.phase <= RECOVERY and s.limit <= 65536 and s.silence <= 3600000 and s.voices <= 2147483648
		and s.next <= now + 5000 and s.quiet <= now + 20000
end

local function start_anew()
	local gen = is_number(s.gen) and s.gen < 4503599627370496 and s.gen or 0
	for _, name in ipairs(names) do s[name] = 0 end
	s.gen, s.limit = gen, 65536
	change(CALM)
end

local function expire()
	local over = now < s.since - 1000
	if s.phase == ALERT then over = over or now - s.since > 5000 end
	if s.phase == DOWN then over = over or now - s.next > 5000 end
	if s.phase == RECOVERY then over = over or now - s.since > 2000 end
	if not over then return false end
	local told = s.phase == ALERT or s.phase == DOWN
	change(CALM)
	return told
end

local function hear(among)
	if rank >= s.limit then return end
	for _, set in ipairs(sets) do redis.call('ZREM', set, process) end
	redis.call('ZADD', sets[among], rank, process)
	redis.call('PEXPIRE', sets[among], 30000)
end

local function thin_out(most)
	local publish = false
	while size(FAILING) + size(SLOW) + size(WORKING) > most and s.limit > 1 do
		s.limit = math.floor(s.limit / 2)
		publish = true
		for _, set in ipairs(sets) do redis.call('ZREMRANGEBYSCORE', set, s.limit, '+inf') end
	end
	return publish
end

local function count()
	s.failures = s.failures + tonumber(ARGV[7])
	s.silence = math.max(s.silence, tonumber(ARGV[8]))
	if kind == 'failing' then
		if s.phase == ALERT and redis.call('ZSCORE', sets[WORKING], process) then return end
		hear(FAILING)
	elseif kind == 'slow' then
		hear(SLOW)
	else
		hear(WORKING)
	end
end

local function go_down()
	s.voices = estimate(size(FAILING) + size(SLOW) + size(WORKING))
	change(DOWN)
	s.next = now + 200
end

local function hear_failing()
	if now - s.since > 1000 then
		s.since = now
		forget_voices()
	end
	hear(FAILING)
	thin_out(128)
	local failing = estimate(size(FAILING))
	if size(FAILING) < 3 or (now < s.quiet and failing < 2 * s.calm + 3) then return false end
	if now >= s.quiet then s.calm = 0 end
	s.raised = failing
	s.limit = math.min(65536, 2 * s.limit)
	change(ALERT)
	return true
end

local function weigh()
	count()
	local publish = thin_out(512)
	local failing, working = size(FAILING), size(WORKING) + size(SLOW)
	if now - s.since < 600 then return publish end
	if working * 20 > failing + working then
		s.calm, s.quiet = math.max(s.calm, s.raised, estimate(failing)), now + 10000
		change(CALM)
	elseif failing >= 3 and s.failures >= 20 then
		go_down()
	else
		return publish
	end
	return true
end

local function watch()
	count()
	local publish = thin_out(512)
	if now - s.round < 200 then return publish end
	local failing, slow = size(FAILING), size(SLOW)
	local all = failing + slow + size(WORKING)
	local again = failing >= 3 and s.failures >= 10 and (all - failing) * 20 <= all
	local full = s.silence > 0 and slow >= 3 and 2 * slow >= all
	if again or full then
		go_down()
		return true
	end
	s.round, s.failures = now, 0
	forget_voices()
	return publish
end

if not is_sound() then start_anew() end
local publish, granted, wait = expire(), 0, 0
local current = gen == s.gen
local verdict = kind == 'failing' or kind == 'slow' or kind == 'working'
if s.phase == CALM and kind == 'failing' then
	publish = hear_failing() or publish
elseif s.phase == ALERT and current and verdict then
	publish = weigh() or publish
elseif s.phase == RECOVERY and current and verdict then
	publish = watch() or publish
elseif s.phase == DOWN and current and kind == 'ask_probe' then
	if now >= s.next then
		granted = 1
		s.leased, s.next = now, now + 500
	end
	wait = math.max(0, s.next - now)
	publish = publish or now - s.restated >= 200
elseif s.phase == DOWN and current and kind == 'probe_failed' then
	s.next = math.min(s.next, math.max(now, s.leased + 200))
elseif s.phase == DOWN and current and kind == 'probe_succeeded' then
	change(RECOVERY)
	publish = true
end
if publish then s.restated = now end

local flat = {}
for _, name in ipairs(names) do
	flat[#flat + 1] = name
	flat[#flat + 1] = string.format('%.0f', s[name])
end
redis.call('HSET', KEYS[1], unpack(flat))
redis.call('PEXPIRE', KEYS[1], 30000)
local word = string.format('%s %.0f %.0f %.0f %.0f %.0f', ARGV[2], s.gen, s.phase, s.limit, s.voices, s.silence)
if publish then redis.call('PUBLISH', ARGV[1], word .. ' 0 0') end
return word .. string.format(' %.0f %.0f', granted, wait)
