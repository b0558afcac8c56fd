package steadyhttp_test

import (
	"encoding/hex"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// A schedule decides all that happens to a model: a byte for each choice. A random one explores, and the
// fuzzer, which sees what a byte leads to, makes better ones and shorter ones. Once it is used up, every
// choice is the first.
type schedule struct{ rest []byte }

// newSchedule leaves out what would last for ever: a bubble's clock ends in 2262.
func newSchedule(bytes []byte) *schedule { return &schedule{bytes[:min(len(bytes), 1000)]} }

func (s *schedule) done() bool { return len(s.rest) == 0 }

// pick chooses a number below n.
func (s *schedule) pick(n int) int {
	if s.done() {
		return 0
	}
	first := s.rest[0]
	s.rest = s.rest[1:]
	return int(first) % n
}

func (s *schedule) chance(percent int) bool { return s.pick(100) >= 100-percent }

// choose chooses one of several; what comes more than once, comes more often.
func choose[T any](s *schedule, of ...T) T { return of[s.pick(len(of))] }

// explore plays so many random schedules. MODEL_SEED=n plays those of an earlier run again,
// MODEL_SCHEDULE=hex a single one, and MODEL_RUNS=n more or fewer than usual.
func explore(t *testing.T, runs, length int, play func(*testing.T, []byte)) {
	t.Helper()
	if one, err := hex.DecodeString(os.Getenv("MODEL_SCHEDULE")); err == nil && len(one) > 0 {
		play(t, one)
		return
	}
	if underRace { // which forgets no goroutine, and takes a megabyte for twenty schedules
		runs /= 5
	}
	seed := setting("MODEL_SEED", rand.Uint64())
	for run := range setting("MODEL_RUNS", uint64(runs)) {
		playOne(t, seed, randomBytes(rand.New(rand.NewPCG(seed, run)), length), play)
	}
}

func playOne(t *testing.T, seed uint64, bytes []byte, play func(*testing.T, []byte)) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("replay this schedule:  MODEL_SCHEDULE=%x go test -run '^%s$' .", bytes, t.Name())
			t.Logf("or all of the run's:   MODEL_SEED=%d go test -run '^%s$' .", seed, t.Name())
		}
	}()
	play(t, bytes)
	if t.Failed() {
		t.FailNow()
	}
}

func setting(name string, otherwise uint64) uint64 {
	if given, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return given
	}
	return otherwise
}

func randomBytes(random *rand.Rand, most int) []byte {
	bytes := make([]byte, random.IntN(most)+1)
	for i := range bytes {
		bytes[i] = byte(random.Uint32())
	}
	return bytes
}
