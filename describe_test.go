package steadyhttp_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestDescribe_NamesEverySettingAndItsDefault(t *testing.T) {
	t.Parallel()
	client, err := steadyhttp.NewClient()
	require.NoError(t, err)
	assert.Equal(t, "MaxAttempts=4(default) Backoff=300ms,10s(default) MaxRetryAfter=1m0s(default) Hints=none(default) Timeout=none(default) "+
		"AttemptTimeout=none(default) BodyTimeout=none(default) Resume=off(default) RetryBudget=0.2,5,growing(default) RetryNonIdempotent=off(default) "+
		"IdempotencyKeys=off(default) AttemptHeader=none(default) ReplayBuffer=0(default) Classifier=none(default) Observer=none(default) "+
		"Breaker=on(default) BreakerConsecutiveFailures=6,5s(default) BreakerConsecutiveTimeouts=6,5s(default) BreakerFailureRate=off(default) "+
		"BreakerWindow=5s(default) BreakerOpenFor=700ms(default) Fleet=none(default) OriginPause=off(default) OriginKey=none(default) OriginLimit=1024(default) "+
		"Base=pooled,header=30s(default)", fmt.Sprint(client.Transport))
}

// optionChanges has every option, with a value that is no default, and what is told of it.
var optionChanges = map[string]struct {
	option steadyhttp.Option
	told   string
}{
	"WithMaxAttempts":                {steadyhttp.WithMaxAttempts(3), "MaxAttempts=3"},
	"WithBackoff":                    {steadyhttp.WithBackoff(time.Second, time.Minute), "Backoff=1s,1m0s"},
	"WithBackoffPolicy":              {steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return &backoff.ZeroBackOff{} }), "Backoff=policy"},
	"WithMaxRetryAfter":              {steadyhttp.WithMaxRetryAfter(0), "MaxRetryAfter=0s"},
	"WithTimeout":                    {steadyhttp.WithTimeout(20 * time.Second), "Timeout=20s"},
	"WithAttemptTimeout":             {steadyhttp.WithAttemptTimeout(time.Second), "AttemptTimeout=1s"},
	"WithBodyTimeout":                {steadyhttp.WithBodyTimeout(time.Second), "BodyTimeout=1s"},
	"WithResume":                     {steadyhttp.WithResume(), "Resume=on"},
	"WithRetryBudget":                {steadyhttp.WithRetryBudget(0.2, 5), "RetryBudget=0.2,5"},
	"WithoutRetryBudget":             {steadyhttp.WithoutRetryBudget(), "RetryBudget=off"},
	"WithRetryNonIdempotent":         {steadyhttp.WithRetryNonIdempotent(), "RetryNonIdempotent=on"},
	"WithIdempotencyKeys":            {steadyhttp.WithIdempotencyKeys(), "IdempotencyKeys=on"},
	"WithAttemptHeader":              {steadyhttp.WithAttemptHeader("x-attempt"), "AttemptHeader=X-Attempt"},
	"WithReplayBuffer":               {steadyhttp.WithReplayBuffer(1024), "ReplayBuffer=1024"},
	"WithClassifier":                 {steadyhttp.WithClassifier(steadyhttp.Classify), "Classifier=set"},
	"WithObserver":                   {steadyhttp.WithObserver(func(context.Context, steadyhttp.Event) {}), "Observer=set"},
	"WithBreakerFailureRate":         {steadyhttp.WithBreakerFailureRate(0.25, 20), "BreakerFailureRate=0.25,20"},
	"WithBreakerConsecutiveFailures": {steadyhttp.WithBreakerConsecutiveFailures(5, 0), "BreakerConsecutiveFailures=5,0s"},
	"WithBreakerConsecutiveTimeouts": {steadyhttp.WithBreakerConsecutiveTimeouts(0, time.Second), "BreakerConsecutiveTimeouts=off"},
	"WithBreakerWindow":              {steadyhttp.WithBreakerWindow(time.Minute), "BreakerWindow=1m0s"},
	"WithBreakerOpenFor":             {steadyhttp.WithBreakerOpenFor(2 * time.Second), "BreakerOpenFor=2s"},
	"WithHints":                      {steadyhttp.WithHints(steadyhttp.HintGitHub, steadyhttp.HintMilliseconds), "Hints=2"},
	"WithFleet":                      {steadyhttp.WithFleet(newFakeFleet()), "Fleet=set"},
	"WithOriginPause":                {steadyhttp.WithOriginPause(1000), "OriginPause=1000"},
	"WithPauseKey":                   {steadyhttp.WithPauseKey(func(*http.Request) string { return "hunter2" }), "OriginPause=1000,keyed"},
	"WithShadowBreaker":              {steadyhttp.WithShadowBreaker(), "Breaker=shadow"},
	"WithoutBreaker":                 {steadyhttp.WithoutBreaker(), "Breaker=off"},
	"WithOriginKey":                  {steadyhttp.WithOriginKey(func(*http.Request) string { return "hunter2" }), "OriginKey=set"},
	"WithOriginLimit":                {steadyhttp.WithOriginLimit(10), "OriginLimit=10"},
}

func TestDescribe_NamesWhatAnOptionChanged(t *testing.T) {
	t.Parallel()
	for name, change := range optionChanges {
		options := []steadyhttp.Option{change.option}
		if name == "WithPauseKey" { // which needs it
			options = append(options, steadyhttp.WithOriginPause(1000))
		}
		client, err := steadyhttp.NewClient(options...)
		require.NoError(t, err)
		told := strings.Fields(fmt.Sprint(client.Transport))
		assert.Contains(t, told, change.told, name)
		for _, setting := range told {
			assert.True(t, setting == change.told || strings.HasSuffix(setting, "(default)"), "%s: %s", name, setting)
		}
	}
}

// An option that is new has to be told of too.
func TestDescribe_KnowsEveryOption(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "options.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	options := 0
	for _, declared := range file.Decls {
		if f, ok := declared.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "With") {
			options++
			assert.Contains(t, optionChanges, f.Name.Name)
		}
	}
	assert.Len(t, optionChanges, options)
}

func TestDescribe_LeavesOutWhatIsOff(t *testing.T) {
	t.Parallel()
	told := newTransport(t, status(200), steadyhttp.WithBreakerWindow(time.Minute), steadyhttp.WithoutBreaker()).String()
	assert.Contains(t, told, " Breaker=off ")
	assert.NotContains(t, told, "BreakerWindow")
}

func TestDescribe_NamesTheBaseByItsType(t *testing.T) {
	t.Parallel()
	secret := struct {
		http.RoundTripper
		token string
	}{status(200), "hunter2"}
	told := newTransport(t, &secret).String()
	assert.Contains(t, told, " Base=*struct { http.RoundTripper; token string }")
	assert.NotContains(t, told, "hunter2")
	told = newTransport(t, nil, steadyhttp.WithAttemptTimeout(time.Second)).String()
	assert.True(t, strings.HasSuffix(told, " Base=pooled(default)"), "the attempt timeout stands for the header's: %s", told)
}

func TestDescribe_NamesTheTimeout(t *testing.T) {
	t.Parallel()
	client, err := steadyhttp.Wrap(&http.Client{Timeout: time.Hour}, steadyhttp.WithTimeout(time.Minute))
	require.NoError(t, err)
	assert.Contains(t, fmt.Sprint(client.Transport), " Timeout=1m0s ")
}

func TestDescribe_ZeroTransportSaysSo(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "steadyhttp: no policy: a Transport is made by NewTransport", new(steadyhttp.Transport).String())
}
