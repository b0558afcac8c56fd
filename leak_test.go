package steadyhttp_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A goroutine inherits the labels of the one that starts it, so that a test's are known by its name, and
// those of the runtime by having none. In a synctest bubble nothing can be left: it would not end.
const leakLabel = "test"

// TestMain fails when a test has left a goroutine behind.
func TestMain(m *testing.M) {
	flag.Parse()
	label("(one that makes no Transport)")
	code := m.Run()
	if code == 0 && !fuzzing() {
		code = reportLeaks()
	}
	os.Exit(code)
}

// fuzzing has goroutines of its own.
func fuzzing() bool { return flag.Lookup("test.fuzz").Value.String() != "" }

func label(test string) {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(leakLabel, test)))
}

func reportLeaks() int {
	pprof.SetGoroutineLabels(context.Background())
	left := leftovers(leakLabel, 5*time.Second)
	if len(left) == 0 {
		return 0
	}
	fmt.Printf("FAIL: tests left goroutines behind\n\n%s\n", strings.Join(left, "\n\n"))
	return 1
}

// leftovers are the goroutines with a text among their labels, once they have had some time to end.
func leftovers(text string, patience time.Duration) (left []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if left = goroutinesOf(text); len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

func goroutinesOf(text string) (found []string) {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		panic(err)
	}
	for _, stack := range strings.Split(profile.String(), "\n\n") {
		for _, line := range strings.Split(stack, "\n") {
			if strings.HasPrefix(line, "# labels: ") && strings.Contains(line, fmt.Sprintf("%q", text)) {
				found = append(found, stack)
			}
		}
	}
	return found
}

func TestLeak_GoroutineThatIsLeftBehindIsFound(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	go func() {
		label(t.Name())
		go func() { <-end }() // inherits it
		<-end
	}()
	require.Eventually(t, func() bool { return len(goroutinesOf(t.Name())) == 2 }, 5*time.Second, time.Millisecond)
	close(end)
	assert.Empty(t, leftovers(t.Name(), 5*time.Second))
}

// underRace is whether the race detector watches, under which a call takes twenty times as long.
var underRace bool

// Not parallel: the heap is everybody's.
func TestLeak_HeapIsTheSameAfterAMillionCalls(t *testing.T) {
	most, err := http.NewRequest(http.MethodGet, target, nil)
	require.NoError(t, err)
	all := append(manyOrigins(t, 1000), most)
	transport := newTransport(t, sometimes(), steadyhttp.WithOriginLimit(64), steadyhttp.WithBackoff(1, 1), steadyhttp.WithoutRetryBudget())
	rich := newTransport(t, sometimes(), append(busy(), steadyhttp.WithOriginLimit(64), steadyhttp.WithBackoff(1, 1))...)
	longLived, cancel := context.WithCancel(t.Context()) // it would hold on to the contexts of attempts
	defer cancel()
	play := func(calls int) {
		for i := range calls {
			r := most
			if i%4 == 0 {
				r = all[i/4%len(all)]
			}
			call(transport, r)
			if i%50 == 0 {
				ctx, _ := steadyhttp.WithReport(longLived)
				call(rich, r.WithContext(ctx))
			}
		}
	}
	play(50_000)
	calls := 1_000_000
	if underRace {
		calls = 50_000
	}
	before := heap()
	play(calls)
	assert.Less(t, heap()-before, int64(64<<10), "bytes that %d calls have left", calls)
	assert.LessOrEqual(t, len(transport.Breakers()), 64)
}

func manyOrigins(t *testing.T, n int) (requests []*http.Request) {
	for i := range n {
		r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://host-%d.example.com/", i), nil)
		require.NoError(t, err)
		requests = append(requests, r)
	}
	return requests
}

// sometimes fails, in each of the ways that leave something to be tidied up.
func sometimes() http.RoundTripper {
	sent := 0
	return quiet{func(r *http.Request) (*http.Response, error) {
		sent++
		switch sent % 500 {
		case 0:
			return &http.Response{StatusCode: 503, Body: text("unavailable")}, nil
		case 64:
			return nil, errReset
		case 128:
			return &http.Response{StatusCode: 404, Body: http.NoBody}, nil
		case 192:
			return nil, r.Context().Err()
		case 193:
			return nil, fmt.Errorf("a cause: %w", errors.New("of its own"))
		case 1, 2, 3, 4, 5, 6, 7, 8:
			return &http.Response{StatusCode: 200, Body: text("fine")}, nil
		default:
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		}
	}}
}

func call(transport *steadyhttp.Transport, r *http.Request) {
	if response, err := transport.RoundTrip(r); err == nil {
		_ = response.Body.Close()
	}
}
