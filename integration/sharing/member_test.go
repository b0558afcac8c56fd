package sharing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyfleet"
)

// What a member is told by its environment.
const (
	serverVariable = "SHARING_SERVER"
	redisVariable  = "SHARING_REDIS"
	everyVariable  = "SHARING_EVERY"
)

// processHeader tells the server who calls, so that it can have it killed.
const processHeader = "Process"

// TestMain lets this program be a member of the fleet that the test starts.
func TestMain(m *testing.M) {
	if server := os.Getenv(serverVariable); server != "" {
		if err := member(server, os.Getenv(redisVariable), os.Getenv(everyVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// member calls the server at regular times, and prints each state that its breaker comes to, until its input ends.
func member(server, address, every string) error {
	interval, err := time.ParseDuration(every)
	if err != nil {
		return err
	}
	redis.SetLogger(silent{}) // which tells of each dial that fails
	client := redis.NewClient(&redis.Options{Addr: address, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	store, err := steadyfleet.NewWithEngine(shifted{client})
	if err != nil {
		return err
	}
	fleet, err := steadyfleet.Join(store, "integration")
	if err != nil {
		return err
	}
	defer fleet.Close()
	caller, err := steadyhttp.NewClient(steadyhttp.WithFleet(fleet), steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
		if e.Kind == steadyhttp.EventBreaker {
			say(e.To.String())
		}
	}))
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	time.Sleep(rand.N(interval))
	say("ready")
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		select {
		case <-ended:
			return nil
		case <-ticks.C:
			go call(caller, server)
		}
	}
}

// offsetKey holds by how many seconds the clock of the store is wrong.
const offsetKey = "clock-offset"

// shifted is an engine over a Redis whose clock the test can set.
type shifted struct{ client *redis.Client }

func (s shifted) Eval(ctx context.Context, script string, keys, args []string) (string, error) {
	const clock = "local now = time[1] * 1000"
	if !strings.Contains(script, clock) {
		return "", errors.New("the script has no clock that could be shifted")
	}
	script = strings.Replace(script, clock, "local now = (time[1] + tonumber(redis.call('GET', '"+offsetKey+"') or '0')) * 1000", 1)
	values := make([]any, len(args))
	for i, arg := range args {
		values[i] = arg
	}
	return redis.NewScript(script).Run(ctx, s.client, keys, values...).Text()
}

func (s shifted) Subscribe(ctx context.Context, channel string, receive func(message string)) error {
	subscription := s.client.Subscribe(ctx, channel)
	defer func() { _ = subscription.Close() }()
	messages := subscription.Channel()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case message := <-messages:
			receive(message.Payload)
		}
	}
}

// silent is a logger.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func call(client *http.Client, url string) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set(processHeader, strconv.Itoa(os.Getpid()))
	response, err := client.Do(request)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// say writes a line at once: all members share the pipe.
func say(state string) {
	_, _ = os.Stdout.WriteString(fmt.Sprintln(os.Getpid(), time.Now().UnixMicro(), state))
}
