package steadyfleet

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A script tells a state what processes see, at times of its own.
type script struct {
	*state
	now int64
}

func newScript() *script { return &script{newState(), 1_000_000} }

func (s *script) say(kind Kind, process int, failures int64) Word {
	w, _ := s.tell(s.now, Report{Origin: "o", Kind: kind, Process: fmt.Sprint(process), Rank: int64(process), Gen: s.gen, Failures: failures})
	return w
}

func (s *script) all(kind Kind, from, to int) {
	for process := from; process < to; process++ {
		s.say(kind, process, 1)
	}
}

// alert lets three processes raise one.
func (s *script) alert(t *testing.T) {
	t.Helper()
	s.all(Failing, 0, 3)
	require.Equal(t, Alert, s.phase)
}

func (s *script) down(t *testing.T) {
	t.Helper()
	s.alert(t)
	s.all(Failing, 0, 25)
	s.now += alertFor
	s.say(Failing, 0, 1)
	require.Equal(t, Down, s.phase)
}

func TestRules_ThreeProcessesOfASecondRaiseAnAlert(t *testing.T) {
	s := newScript()
	s.all(Failing, 0, 2)
	s.say(Failing, 1, 100) // the same one
	assert.Equal(t, Calm, s.phase)
	s.now += 1001
	s.say(Failing, 2, 1)
	assert.Equal(t, Calm, s.phase, "the others were longer ago")
	s.all(Failing, 0, 2)
	assert.Equal(t, Alert, s.phase)
}

func TestRules_DownWhenNothingWorksForLongEnough(t *testing.T) {
	s := newScript()
	s.alert(t)
	s.all(Failing, 0, 25)
	s.now += alertFor - 1
	assert.Equal(t, Alert, s.say(Failing, 0, 1).Phase)
	s.now++
	w := s.say(Failing, 0, 1)
	assert.Equal(t, Down, w.Phase)
	assert.EqualValues(t, 25, w.Voices)
}

func TestRules_FewFailuresDecideNothing(t *testing.T) {
	s := newScript()
	s.alert(t)
	s.now += alertFor
	s.all(Failing, 0, minFailures-1)
	assert.Equal(t, Alert, s.phase)
	s.say(Failing, 0, 1)
	assert.Equal(t, Down, s.phase)
}

// By processes: those that are cut off call again and again.
func TestRules_AZoneThatIsCutOffIsAPart(t *testing.T) {
	s := newScript()
	s.alert(t)
	for range 100 {
		s.all(Failing, 0, 90)
	}
	s.all(Working, 90, 100)
	s.now += alertFor
	s.say(Failing, 0, 1)
	assert.Equal(t, Calm, s.phase)
}

func TestRules_ASuccessInAnAlertIsNotTakenBack(t *testing.T) {
	s := newScript()
	s.alert(t)
	s.all(Working, 0, 10)
	s.all(Failing, 0, 60)
	s.now += alertFor
	s.say(Failing, 0, 1)
	assert.Equal(t, Calm, s.phase)
}

func TestRules_AfterAPartialFailureItTakesTwiceAsManyForAWhile(t *testing.T) {
	s := newScript()
	s.alert(t)
	s.all(Failing, 0, 50)
	s.all(Working, 50, 100)
	s.now += alertFor
	s.say(Failing, 0, 1)
	require.Equal(t, Calm, s.phase)
	s.all(Failing, 0, 100)
	assert.Equal(t, Calm, s.phase)
	s.all(Failing, 100, 103)
	assert.Equal(t, Alert, s.phase)

	s.all(Working, 0, 100)
	s.now += alertFor
	s.say(Failing, 0, 1)
	require.Equal(t, Calm, s.phase)
	s.now += calmFor
	s.all(Failing, 0, 3)
	assert.Equal(t, Alert, s.phase)
}

func TestRules_OneProbeAtATime(t *testing.T) {
	s := newScript()
	s.down(t)
	w := s.say(AskProbe, 1, 0)
	assert.False(t, w.Granted)
	assert.EqualValues(t, probeEvery, w.Wait)
	s.now += probeEvery
	assert.True(t, s.say(AskProbe, 1, 0).Granted)
	assert.False(t, s.say(AskProbe, 2, 0).Granted)
	s.now += 10
	s.say(ProbeFailed, 1, 0)
	s.now += probeEvery - 11
	assert.False(t, s.say(AskProbe, 2, 0).Granted)
	s.now++
	assert.True(t, s.say(AskProbe, 2, 0).Granted)
	s.now += probeLease - 1 // that process was killed
	assert.False(t, s.say(AskProbe, 3, 0).Granted)
	s.now++
	assert.True(t, s.say(AskProbe, 3, 0).Granted)
}

func TestRules_AProbeThatSucceedsEndsIt(t *testing.T) {
	s := newScript()
	s.down(t)
	s.now += probeEvery
	s.say(AskProbe, 1, 0)
	assert.Equal(t, Recovery, s.say(ProbeSucceeded, 1, 0).Phase)
	s.all(Working, 0, 10)
	s.now += recoverFor + 1
	assert.Equal(t, Calm, s.say(Working, 0, 0).Phase)
}

func TestRules_ARecoveryIsNoneIfNothingWorks(t *testing.T) {
	s := newScript()
	s.down(t)
	s.say(ProbeSucceeded, 1, 0)
	s.all(Failing, 0, 20)
	s.now += roundFor
	s.say(Failing, 0, 1)
	assert.Equal(t, Down, s.phase)
}

func TestRules_ARecoveryIsNoneIfAnOriginThatWasSilentIsSlowAgain(t *testing.T) {
	for silence, want := range map[int64]Phase{0: Recovery, 1000: Down} {
		s := newScript()
		s.down(t)
		s.silence = silence
		s.say(ProbeSucceeded, 1, 0)
		s.all(Slow, 0, 5)
		s.all(Working, 5, 9)
		s.now += roundFor
		s.say(Slow, 0, 0)
		assert.Equal(t, want, s.phase, silence)
	}
}

func TestRules_WhoHasNotHeardOfTheAlertIsNotCounted(t *testing.T) {
	s := newScript()
	s.alert(t)
	for process := range 50 {
		s.tell(s.now, Report{Kind: Failing, Process: fmt.Sprint(process), Failures: 5})
	}
	assert.Empty(t, s.failing)
}

// However many speak, those who are left are a fair sample, and tell how many there are.
func TestRules_ListenToAFairSample(t *testing.T) {
	s := newScript()
	s.alert(t)
	random := rand.New(rand.NewPCG(1, 1))
	said := 0
	for process := range 10000 {
		rank := random.Int64N(maxRank)
		if rank >= s.limit {
			continue // as processes do
		}
		said++
		kind := Failing
		if process%4 == 0 {
			kind = Working
		}
		s.tell(s.now, Report{Kind: kind, Process: fmt.Sprint(process), Rank: rank, Gen: s.gen, Failures: 1})
	}
	assert.Less(t, said, 2000)
	heard := int64(len(s.failing) + len(s.working))
	assert.LessOrEqual(t, heard, int64(maxVoices))
	assert.InDelta(t, 10000, s.estimate(heard), 1500)
	assert.InDelta(t, 0.25, float64(len(s.working))/float64(heard), 0.06)
}

func TestRules_WhatNobodyAsksForEnds(t *testing.T) {
	s := newScript()
	s.down(t)
	s.now = s.next + abandonFor + 1
	assert.Equal(t, Calm, s.say(AskProbe, 1, 0).Phase)
}

func TestRules_AClockThatIsSetBackKeepsNothing(t *testing.T) {
	s := newScript()
	s.down(t)
	s.now -= 3_600_000
	gen := s.gen
	assert.Equal(t, Calm, s.say(AskProbe, 1, 0).Phase)
	assert.Greater(t, s.gen, gen)
}

// TestRules_AreTheSameInLua tells both the same, at random, and compares each word.
func TestRules_AreTheSameInLua(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	store, err := New(client)
	require.NoError(t, err)
	phases := map[Phase]int{}
	for seed := range uint64(8) {
		compareWithLua(t, server, store, seed, phases)
	}
	for _, phase := range []Phase{Calm, Alert, Down, Recovery} {
		assert.Greater(t, phases[phase], 50, phase)
	}
}

var regimes = [][]Kind{{Failing}, {Failing}, {Failing}, {Failing, Working}, {AskProbe, ProbeFailed}, {AskProbe, ProbeSucceeded}, {Slow, Slow, Working}, {Working}}

func compareWithLua(t *testing.T, server *miniredis.Miniredis, store Store, seed uint64, phases map[Phase]int) {
	random := rand.New(rand.NewPCG(seed, 1))
	ours, origin, now := newState(), fmt.Sprint("o", seed), int64(1_800_000_000_000)
	regime := regimes[0]
	for step := range 700 {
		now += random.Int64N(40)
		if step%60 == 0 {
			regime = regimes[random.IntN(len(regimes))]
		}
		if random.IntN(400) == 0 {
			now += random.Int64N(7000) - 1500
		}
		server.SetTime(time.UnixMilli(now))
		process := random.IntN(700)
		r := Report{Origin: origin, Kind: regime[random.IntN(len(regime))], Process: fmt.Sprint(process), Rank: int64(process * 93), Gen: ours.gen, Failures: random.Int64N(3), Silence: random.Int64N(2) * 1000}
		if random.IntN(10) == 0 {
			r.Gen--
		}
		want, _ := ours.tell(now, r)
		got, err := store.Tell(t.Context(), "g", r)
		require.NoError(t, err)
		require.Equal(t, want, got, "seed %d, step %d: %+v", seed, step, r)
		phases[want.Phase]++
	}
}
