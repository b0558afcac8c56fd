package steadyfleet

// The rules of a store: what a fleet is to believe of an origin. rules.lua says the same to Redis, and
// TestRules_AreTheSameInLua compares the two. Times are the store's own, in ms: no other clock is looked at.
const (
	raiseAfter  = 3     // processes that fail within a second raise an alert
	alertFor    = 600   // ms until it is decided: more than a blip
	alertLimit  = 5000  // ms until it is given up, undecided
	minFailures = 20    // in all that make a total failure believable
	calmFor     = 10000 // ms after a partial failure until the same number of processes may raise the next alert
	probeEvery  = 200   // ms from one probe to the next, if that one has ended
	probeLease  = 500   // ms else
	restateFor  = 200   // ms without a word to all while the origin is down
	roundFor    = 200   // ms of a recovery that are judged as one
	recoverFor  = 2000  // ms that a recovery is watched
	abandonFor  = 5000  // ms after which a probe that nobody has asked for is asked for no more
	maxVoices   = 512   // processes that are listened to, in calm a fourth; beyond that, half of them are asked to say nothing
	forgetFor   = 30000 // ms after which what nobody speaks of is forgotten
	maxRank     = 1 << 16
	partialOne  = 20 // a success at one process of so many shows that the failure is partial
)

// A state is what the store knows of one origin.
type state struct {
	phase    Phase
	gen      int64 // of the phase: the store's time at which it began, and always more than before
	since    int64 // when the phase began; while all is calm, the second that is counted
	limit    int64 // processes of a lower rank speak
	failures int64 // told in this phase
	silence  int64 // the longest that an attempt waited which timed out, in ms
	calm     int64 // how many processes failed when the failure was found to be partial
	raised   int64 // how many had raised the alert
	quiet    int64 // until when it takes twice as many as calm to raise an alert
	voices   int64 // how many processes, told or not, make calls
	next     int64 // when the next probe may go
	leased   int64 // when the last one was let go
	restated int64 // when all were told last
	round    int64 // when the round of a recovery began

	failing, slow, working map[string]int64 // process to rank; each is in one of them
}

func newState() *state {
	s := &state{limit: maxRank}
	s.forgetVoices()
	return s
}

func (s *state) forgetVoices() {
	s.failing, s.slow, s.working = map[string]int64{}, map[string]int64{}, map[string]int64{}
}

// tell takes in a report. It returns the word for who reported, and whether all others are to hear it, too.
func (s *state) tell(now int64, r Report) (w Word, publish bool) {
	publish = s.expire(now)
	granted, wait := false, int64(0)
	current := r.Gen == s.gen
	switch {
	case s.phase == Calm && r.Kind == Failing:
		publish = s.hearFailing(now, r) || publish
	case s.phase == Alert && current && r.Kind.isVerdict():
		publish = s.weigh(now, r) || publish
	case s.phase == Recovery && current && r.Kind.isVerdict():
		publish = s.watch(now, r) || publish
	case s.phase == Down && current && r.Kind == AskProbe:
		if granted = now >= s.next; granted {
			s.leased, s.next = now, now+probeLease
		}
		wait = max(0, s.next-now)
		publish = publish || now-s.restated >= restateFor // a probe that hangs must not silence the store
	case s.phase == Down && current && r.Kind == ProbeFailed:
		s.next = min(s.next, max(now, s.leased+probeEvery))
	case s.phase == Down && current && r.Kind == ProbeSucceeded:
		s.change(now, Recovery)
		publish = true
	}
	if publish {
		s.restated = now
	}
	w = Word{Origin: r.Origin, Gen: s.gen, Phase: s.phase, Limit: s.limit, Voices: s.voices, Silence: s.silence, Granted: granted, Wait: wait}
	return w, publish
}

// expire ends what time alone ends, and what a clock that was set back would keep for ever.
func (s *state) expire(now int64) (publish bool) {
	over := now < s.since-1000
	switch s.phase {
	case Alert:
		over = over || now-s.since > alertLimit
	case Down:
		over = over || now-s.next > abandonFor
	case Recovery:
		over = over || now-s.since > recoverFor
	}
	if !over {
		return false
	}
	told := s.phase == Alert || s.phase == Down
	s.change(now, Calm)
	return told
}

func (s *state) change(now int64, to Phase) {
	s.phase, s.gen = to, max(s.gen+1, now)
	s.since, s.round, s.failures = now, now, 0
	s.forgetVoices()
	if to == Calm {
		s.silence = 0
	}
}

// hearFailing counts the processes that fail within a second.
func (s *state) hearFailing(now int64, r Report) (publish bool) {
	if now-s.since > 1000 {
		s.since = now
		s.forgetVoices()
	}
	s.hear(s.failing, r)
	s.thinOut(maxVoices / 4) // there is little to say of a partial failure
	failing := s.estimate(int64(len(s.failing)))
	if len(s.failing) < raiseAfter || now < s.quiet && failing < 2*s.calm+raiseAfter {
		return false
	}
	if now >= s.quiet {
		s.calm = 0
	}
	s.raised = failing
	s.limit = min(maxRank, 2*s.limit)
	s.change(now, Alert)
	return true
}

// weigh decides by processes, and not by calls: those that fail are the ones that call again and again. Nothing is
// down where more than one in twenty of the processes that made a call has had a success since the alert.
func (s *state) weigh(now int64, r Report) (publish bool) {
	s.count(r)
	publish = s.thinOut(maxVoices)
	failing, working := int64(len(s.failing)), int64(len(s.working)+len(s.slow))
	if now-s.since < alertFor {
		return publish
	}
	switch {
	case working*partialOne > failing+working:
		s.calm, s.quiet = max(s.calm, s.raised, s.estimate(failing)), now+calmFor
		s.change(now, Calm)
	case failing >= raiseAfter && s.failures >= minFailures:
		s.goDown(now)
	default:
		return publish
	}
	return true
}

func (s *state) goDown(now int64) {
	s.voices = s.estimate(int64(len(s.failing) + len(s.slow) + len(s.working)))
	s.change(now, Down)
	s.next = now + probeEvery
}

// watch judges a recovery in rounds. It was none if nothing works, or if the successes are slow again after attempts
// have timed out: then there are more calls than the origin can take.
func (s *state) watch(now int64, r Report) (publish bool) {
	s.count(r)
	publish = s.thinOut(maxVoices)
	if now-s.round < roundFor {
		return publish
	}
	failing, slow := int64(len(s.failing)), int64(len(s.slow))
	all := failing + slow + int64(len(s.working))
	again := failing >= raiseAfter && s.failures >= minFailures/2 && (all-failing)*partialOne <= all
	full := s.silence > 0 && slow >= raiseAfter && 2*slow >= all
	if again || full {
		s.goDown(now)
		return true
	}
	s.round, s.failures = now, 0
	s.forgetVoices()
	return publish
}

// count keeps a process's verdict. In an alert a success is not taken back by a failure after it.
func (s *state) count(r Report) {
	s.failures += r.Failures
	s.silence = max(s.silence, r.Silence)
	_, worked := s.working[r.Process]
	switch {
	case r.Kind == Failing && s.phase == Alert && worked:
	case r.Kind == Failing:
		s.hear(s.failing, r)
	case r.Kind == Slow:
		s.hear(s.slow, r)
	default:
		s.hear(s.working, r)
	}
}

// hear puts a process where it belongs, unless it was asked to say nothing.
func (s *state) hear(among map[string]int64, r Report) {
	if r.Rank >= s.limit {
		return
	}
	for _, set := range []map[string]int64{s.failing, s.slow, s.working} {
		delete(set, r.Process)
	}
	among[r.Process] = r.Rank
}

// thinOut bounds how many speak: it halves the limit, and forgets those beyond. Ranks are random, so who is left is a
// fair sample.
func (s *state) thinOut(most int) (publish bool) {
	for len(s.failing)+len(s.slow)+len(s.working) > most && s.limit > 1 {
		s.limit /= 2
		publish = true
		for _, set := range []map[string]int64{s.failing, s.slow, s.working} {
			for process, rank := range set {
				if rank >= s.limit {
					delete(set, process)
				}
			}
		}
	}
	return publish
}

// estimate makes of those who spoke all there are.
func (s *state) estimate(heard int64) int64 { return heard * maxRank / s.limit }
