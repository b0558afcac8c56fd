package steadyfleet

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// An Engine is what a store needs of a client of Redis or Valkey. [New] has one for go-redis; for rueidis or valkey-go
// write one in thirty lines, and give it to [NewWithEngine]. Its methods are called from many goroutines at once.
type Engine interface {
	// Eval runs a Lua script, by EVALSHA where the server has it, and returns the bulk string that it returns.
	Eval(ctx context.Context, script string, keys, args []string) (string, error)
	// Subscribe calls receive for each message on a channel, one after the other, until ctx ends or the subscription
	// fails. It should connect again by itself.
	Subscribe(ctx context.Context, channel string, receive func(message string)) error
}

//go:embed rules.lua
var rulesScript string

//go:embed beat.lua
var beatScript string

// An Option changes a store of [New].
type Option func(*redisStore) error

// WithPrefix sets what the names of all keys and channels begin with. The default is "steadyhttp". It must be neither empty
// nor contain a brace, since Redis Cluster places keys by what is in braces.
func WithPrefix(prefix string) Option {
	return func(s *redisStore) error {
		if prefix == "" || strings.ContainsAny(prefix, "{}") {
			return fmt.Errorf("steadyfleet: WithPrefix: %q is invalid: want a name without braces", prefix)
		}
		s.prefix = prefix
		return nil
	}
}

// New returns a store over Redis 6.2 or later, or Valkey.
//
// The client stays yours: close it after the fleet. Nothing is asked of it before [Join]. A reply after 250 ms counts as
// none, so a client that is used for nothing else should have MaxRetries -1. It takes one connection for the
// subscription, and another while something fails. The error is for a nil client, for a [redis.Ring], whose servers do not
// hear each other, and for invalid options.
//
// The commands are EVALSHA, EVAL, SUBSCRIBE, UNSUBSCRIBE and PING; the scripts call TIME, HMGET, HSET, ZADD, ZCARD, ZREM,
// ZSCORE, ZREMRANGEBYSCORE, DEL, PEXPIRE and PUBLISH. Keys begin with "steadyhttp:1:", where 1 is the version of what is
// said, and expire half a minute after the last word. All keys of an origin have one hash tag. The channel of a group is
// "steadyhttp:1:" and its name. Channels know no databases: in two of one server, groups or prefixes must differ.
func New(client redis.UniversalClient, options ...Option) (Store, error) {
	if isNil(client) {
		return nil, errors.New("steadyfleet: New: the client is nil")
	}
	if _, isRing := client.(*redis.Ring); isRing { // which besides panics on Subscribe while all its servers are away
		return nil, errors.New("steadyfleet: New: a *redis.Ring is invalid, since its servers do not hear each other: want a client of one server, or of a Redis Cluster")
	}
	return NewWithEngine(goRedis{client}, options...)
}

// NewWithEngine is [New] for another client of Redis or Valkey. The error is for a nil engine and for invalid options.
func NewWithEngine(engine Engine, options ...Option) (Store, error) {
	if isNil(engine) {
		return nil, errors.New("steadyfleet: NewWithEngine: the engine is nil")
	}
	s := &redisStore{engine: engine, prefix: "steadyhttp"}
	var errs []error
	for i, option := range options {
		if option == nil {
			errs = append(errs, fmt.Errorf("steadyfleet: option %d is nil", i+1))
			continue
		}
		errs = append(errs, option(s))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// isNil sees through an interface: a client that could not be made may be a nil pointer.
func isNil(value any) bool {
	v := reflect.ValueOf(value)
	return value == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

type redisStore struct {
	engine Engine
	prefix string
}

// version is that of the words and the rules. Processes of different versions do not hear each other.
const version = "1"

func (s *redisStore) name(parts ...string) string {
	return strings.Join(append([]string{s.prefix, version}, parts...), ":")
}

// tag keeps braces out of a name, or Redis Cluster would place its keys by them.
func tag(name string) string {
	return "{" + strings.NewReplacer("{", "(", "}", ")").Replace(name) + "}"
}

func (s *redisStore) Tell(ctx context.Context, group string, r Report) (Word, error) {
	key := s.name(tag(group + ":" + r.Origin))
	reply, err := s.eval(ctx, rulesScript, []string{key, key + ":failing", key + ":slow", key + ":working"}, []string{
		s.name(group), r.Origin, string(r.Kind), r.Process,
		format(r.Rank), format(r.Gen), format(r.Failures), format(r.Silence),
	})
	if err != nil {
		return Word{}, err
	}
	return ParseWord(reply)
}

func format(n int64) string { return strconv.FormatInt(n, 10) }

func (s *redisStore) Beat(ctx context.Context, group, process string) (int64, error) {
	reply, err := s.eval(ctx, beatScript, []string{s.name(tag(group))}, []string{process})
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(reply, 10, 64)
}

func (s *redisStore) Listen(ctx context.Context, group string, hear func(Word)) error {
	return s.engine.Subscribe(ctx, s.name(group), func(message string) {
		if w, err := ParseWord(message); err == nil { // who else may write there
			hear(w)
		}
	})
}

// eval returns when ctx ends, whatever the client does: by default go-redis waits for its own timeouts, and tries again.
func (s *redisStore) eval(ctx context.Context, script string, keys, args []string) (string, error) {
	type result struct {
		reply string
		err   error
	}
	done := make(chan result, 1)
	go func() {
		reply, err := s.engine.Eval(ctx, script, keys, args)
		done <- result{reply, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-done:
		return r.reply, r.err
	}
}

// goRedis is an engine.
type goRedis struct{ client redis.UniversalClient }

var scripts = map[string]*redis.Script{rulesScript: redis.NewScript(rulesScript), beatScript: redis.NewScript(beatScript)}

func (g goRedis) Eval(ctx context.Context, script string, keys, args []string) (string, error) {
	values := make([]any, len(args))
	for i, arg := range args {
		values[i] = arg
	}
	return scripts[script].Run(ctx, g.client, keys, values...).Text()
}

// checkEvery is how often an idle subscription is pinged. go-redis' 3 s would be 333 pings a second of 1,000 processes.
const checkEvery = 30 * time.Second

func (g goRedis) Subscribe(ctx context.Context, channel string, receive func(message string)) error {
	subscription := g.client.Subscribe(ctx, channel)
	defer func() { _ = subscription.Close() }()
	messages := subscription.Channel(redis.WithChannelHealthCheckInterval(checkEvery))
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case message, ok := <-messages:
			if !ok {
				return errors.New("steadyfleet: the subscription was closed")
			}
			receive(message.Payload)
		}
	}
}
