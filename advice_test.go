package steadyhttp_test

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"

	"github.com/steadyhttp/steadyhttp"
)

// advised is what is advised for a status, in the words that matter.
var advised = map[int][]string{
	400: {"Fix the request", "input"}, 401: {"Fix the request", "credentials"}, 402: {"Fix the request", "payment"},
	403: {"Fix the request", "credentials", "permission"}, 404: {"Fix the request", "URL", "method"},
	405: {"Fix the request", "URL", "method"}, 406: {"Fix the request", "format"}, 407: {"Fix the request", "proxy", "credentials"},
	408: {"too slow", "retry"}, 409: {"conflicts", "decide anew"}, 410: {"Fix the request", "gone for good"},
	411: {"Fix the request", "Content-Length"}, 412: {"Fix the request", "precondition"}, 413: {"Fix the request", "smaller"},
	414: {"Fix the request", "shorten the URL"}, 415: {"Fix the request", "format"}, 416: {"Fix the request", "range"},
	417: {"Fix the request", "Expect"}, 421: {"Fix the request", "host"}, 422: {"Fix the request", "input"},
	423: {"locked"}, 424: {"depends on"}, 425: {"too early", "handshake"}, 426: {"Fix the request", "Upgrade"},
	428: {"Fix the request", "If-Match"}, 429: {"slow down", "retry"}, 431: {"Fix the request", "header"}, 451: {"law"},
	500: {"request was fine", "the server itself"}, 501: {"will not help", "method"}, 502: {"request was fine", "a gateway got a bad response"},
	503: {"request was fine", "overloaded"}, 504: {"request was fine", "no response in time"}, 505: {"will not help", "version"},
	506: {"will not help", "formats"}, 507: {"will not help", "no room"}, 508: {"will not help", "loop"}, 510: {"will not help", "extension"}, 511: {"will not help", "login"},
	520: {"request was fine", "made no sense"}, 521: {"request was fine", "refused"}, 522: {"request was fine", "connect"},
	523: {"request was fine", "no route"}, 524: {"request was fine", "no response in time"}, 525: {"request was fine", "handshake"},
	526: {"will not help", "certificate"}, 529: {"request was fine", "overloaded"},
}

func TestAdvice_EveryCommonStatusHasItsOwn(t *testing.T) {
	t.Parallel()
	ofClass := make(map[string]bool)
	for class := steadyhttp.Unclassified; class <= steadyhttp.Canceled; class++ {
		ofClass[(&steadyhttp.ResponseError{Class: class, Method: "GET", Attempts: 4}).Advice()] = true
	}
	assert.GreaterOrEqual(t, len(advised), 25)
	for code, words := range advised {
		failed := checkResponse(t, newResponse(code, strings.NewReader("")))
		failed.Attempts = 4
		for _, word := range words {
			assert.Contains(t, failed.Advice(), word, code)
		}
		assert.Equal(t, code == 429, ofClass[failed.Advice()], "%d: a 429 is the one throttling", code)
		assertOneShortSentence(t, failed.Advice())
	}
}

func assertOneShortSentence(t *testing.T, advice string) {
	t.Helper()
	assert.Equal(t, 1, strings.Count(advice, "."), advice)
	assert.True(t, strings.HasSuffix(advice, ".") && unicode.IsUpper(rune(advice[0])), advice)
	assert.LessOrEqual(t, len(advice), 220, advice)
	assert.NotContains(t, advice, "%!")
}

func TestAdvice_UnknownStatusHasThatOfItsClass(t *testing.T) {
	t.Parallel()
	for class, want := range map[steadyhttp.Class]string{
		steadyhttp.Unclassified:  "Unknown cause: inspect the response.",
		steadyhttp.Success:       "Nobody is at fault: there is nothing to do.",
		steadyhttp.ClientFault:   "Fix the request: the server will refuse it again as it is.",
		steadyhttp.Throttled:     "Too many requests: slow down and retry later; the server does not say when.",
		steadyhttp.Transient:     "The request was fine, but the server or the way to it failed: 4 attempts made, and a retry later may work.",
		steadyhttp.Unprocessed:   "The request was fine, and the server did not act on it: 4 attempts made, and a retry later may work.",
		steadyhttp.Permanent:     "A retry will not help: the response will be the same.",
		steadyhttp.Canceled:      "The caller gave up: call again with more time, if the response is still wanted.",
		steadyhttp.Canceled + 50: "Unknown cause: inspect the response.",
	} {
		for _, code := range []int{0, 299, 499, 599} {
			advice := (&steadyhttp.ResponseError{StatusCode: code, Class: class, Method: "POST", Attempts: 4}).Advice()
			if class == steadyhttp.Transient {
				want = "The request was fine, but the server or the way to it failed: 4 attempts made, and a retry later may work, but the request may then be processed twice."
			}
			assert.Equal(t, want, advice)
			assertOneShortSentence(t, advice)
		}
	}
}

func TestAdvice_FollowsTheClassOfAClassifier(t *testing.T) {
	t.Parallel()
	throttled := &steadyhttp.ResponseError{StatusCode: 403, Class: steadyhttp.Throttled, RetryAfter: time.Minute}
	assert.Equal(t, "Too many requests: slow down and retry in 60 s.", throttled.Advice())
	broken := &steadyhttp.ResponseError{StatusCode: 422, Class: steadyhttp.Transient, Attempts: 1}
	assert.Equal(t, "The request was fine, but the server or the way to it failed: 1 attempt made, and a retry later may work.", broken.Advice())
	wrong := &steadyhttp.ResponseError{StatusCode: 503, Class: steadyhttp.ClientFault}
	assert.Equal(t, "Fix the request: the server will refuse it again as it is.", wrong.Advice())
	refused := &steadyhttp.ResponseError{StatusCode: 503, Class: steadyhttp.Permanent}
	assert.Equal(t, "A retry will not help: the response will be the same.", refused.Advice())
}

func TestAdvice_SaysHowToHaveTheRequestRetried(t *testing.T) {
	t.Parallel()
	for reason, words := range map[steadyhttp.StopReason]string{
		steadyhttp.StopNotIdempotent: "mark it with Idempotent", steadyhttp.StopBodyNotReplayable: "set GetBody or WithReplayBuffer",
		steadyhttp.StopBudgetExhausted: "WithRetryBudget", steadyhttp.StopRetryAfterTooLong: "WithMaxRetryAfter",
		steadyhttp.StopCircuitOpen: "breaker", steadyhttp.StopDeadline: "deadline", steadyhttp.StopNoRetry: "NoRetry",
	} {
		response := &steadyhttp.ResponseError{StatusCode: 503, Class: steadyhttp.Transient, Method: "PUT", Attempts: 1, Stopped: reason}
		assert.Contains(t, response.Advice(), words)
		assert.Contains(t, response.Error(), "not retried: "+reason.String())
		failed := &steadyhttp.Error{Class: steadyhttp.Transient, Attempts: 1, Stopped: reason}
		assert.Contains(t, failed.Advice(), words)
		assert.Contains(t, failed.Error(), reason.String())
		assertOneShortSentence(t, response.Advice())
		assertOneShortSentence(t, failed.Advice())
	}
}

func TestAdvice_OfAnErrorHasWordsForEveryClass(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for class := steadyhttp.Transient; class <= steadyhttp.Canceled; class++ {
		advice := (&steadyhttp.Error{Class: class, Stopped: steadyhttp.StopMaxAttempts}).Advice()
		assertOneShortSentence(t, advice)
		assert.False(t, seen[advice], advice)
		seen[advice] = true
	}
}

func TestAdvice_RepeatsTheServersExplanationOfWrongInput(t *testing.T) {
	t.Parallel()
	both := &steadyhttp.Problem{Title: "Out of money", Detail: "It costs 50,\nyou have \"30\"."}
	title := &steadyhttp.Problem{Title: "Out of money"}
	for _, code := range []int{http.StatusBadRequest, http.StatusUnprocessableEntity} {
		for want, failed := range map[string]steadyhttp.ResponseError{
			`Fix the request: correct its input; the server says "It costs 50, you have \"30\"".`: {Problem: both, Body: []byte("x")},
			`Fix the request: correct its input; the server says "Out of money".`:                 {Problem: title, Body: []byte("x")},
			`Fix the request: correct its input; the server says "Out of stock".`:                 {Problem: &steadyhttp.Problem{Title: "Out of stock", Detail: "\n..."}},
			`Fix the request: correct its input; the body may explain it.`:                        {Problem: &steadyhttp.Problem{}, Body: []byte("x")},
			`Fix the request: correct its input.`:                                                 {},
		} {
			failed.StatusCode, failed.Class = code, steadyhttp.ClientFault
			assert.Equal(t, want, failed.Advice())
		}
	}
	other := &steadyhttp.ResponseError{StatusCode: 404, Class: steadyhttp.ClientFault, Problem: both, Body: []byte("x")}
	assert.NotContains(t, other.Advice(), "server says")
}

func TestAdvice_SaysWhenToRetryAndNeverTooEarly(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]string{
		1: "1", time.Second: "1", time.Second + 1: "2", 90 * time.Second: "90", math.MaxInt64: "9223372037",
	} {
		throttled := &steadyhttp.ResponseError{StatusCode: 429, Class: steadyhttp.Throttled, RetryAfter: wait}
		assert.Contains(t, throttled.Advice(), fmt.Sprintf("retry in %s s.", want))
		busy := &steadyhttp.ResponseError{StatusCode: 503, Class: steadyhttp.Transient, RetryAfter: wait, Attempts: 2}
		assert.Contains(t, busy.Advice(), fmt.Sprintf("2 attempts made, and a retry in %s s may work.", want))
	}
}

func TestAdvice_WarnsOfActingTwice(t *testing.T) {
	t.Parallel()
	for method, warned := range map[string]bool{"POST": true, "PATCH": true, "get": true, "GET": false, "": false, "PUT": false, "QUERY": false} {
		failed := &steadyhttp.ResponseError{Method: method, StatusCode: 500, Class: steadyhttp.Transient}
		assert.Equal(t, warned, strings.Contains(failed.Advice(), "twice"), method)
		failed.Class = steadyhttp.Unprocessed
		assert.NotContains(t, failed.Advice(), "twice")
	}
}
