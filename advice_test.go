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
	400: {"request must change", "input"}, 401: {"request must change", "credentials"}, 402: {"request must change", "payment"},
	403: {"request must change", "credentials", "permission"}, 404: {"request must change", "URL", "method"},
	405: {"request must change", "URL", "method"}, 406: {"request must change", "format"}, 407: {"request must change", "proxy", "credentials"},
	408: {"too slow", "again"}, 409: {"conflicts", "decide anew"}, 410: {"request must change", "gone for good"},
	411: {"request must change", "Content-Length"}, 412: {"request must change", "precondition"}, 413: {"request must change", "send less"},
	414: {"request must change", "shorten the URL"}, 415: {"request must change", "format"}, 416: {"request must change", "range"},
	417: {"request must change", "Expect"}, 421: {"request must change", "host"}, 422: {"request must change", "input"},
	423: {"locked"}, 424: {"depends on"}, 425: {"too early", "handshake"}, 426: {"request must change", "Upgrade"},
	428: {"request must change", "If-Match"}, 429: {"slow down", "come back"}, 431: {"request must change", "header"}, 451: {"law"},
	500: {"request was fine", "the server itself"}, 501: {"never", "method"}, 502: {"request was fine", "a gateway got a bad answer"},
	503: {"request was fine", "overloaded"}, 504: {"request was fine", "no answer in time"}, 505: {"never", "version"},
	506: {"never", "formats"}, 507: {"never", "no room"}, 508: {"never", "loop"}, 510: {"never", "extension"}, 511: {"never", "login"},
	520: {"request was fine", "made no sense"}, 521: {"request was fine", "refused"}, 522: {"request was fine", "connect"},
	523: {"request was fine", "no way"}, 524: {"request was fine", "no answer in time"}, 525: {"request was fine", "handshake"},
	526: {"never", "certificate"}, 529: {"request was fine", "overloaded"},
}

func TestAdvice_EveryCommonStatusHasItsOwn(t *testing.T) {
	t.Parallel()
	ofClass := make(map[string]bool)
	for class := steadyhttp.Unclassified; class <= steadyhttp.Canceled; class++ {
		ofClass[(&steadyhttp.ResponseError{Class: class, Method: "GET", Attempts: 4}).Advice()] = true
	}
	assert.GreaterOrEqual(t, len(advised), 25)
	for code, words := range advised {
		failed := checked(t, answer(code, strings.NewReader("")))
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
	assert.LessOrEqual(t, len(advice), 150, advice)
	assert.NotContains(t, advice, "%!")
}

func TestAdvice_UnknownStatusHasThatOfItsClass(t *testing.T) {
	t.Parallel()
	for class, want := range map[steadyhttp.Class]string{
		steadyhttp.Unclassified:  "Whose fault it is, is not known: look at the response.",
		steadyhttp.Success:       "Nobody is at fault: there is nothing to do.",
		steadyhttp.ClientFault:   "The request must change: as it is, the server will refuse it again.",
		steadyhttp.Throttled:     "The client sends too much: slow down, and come back later, for the server does not say when.",
		steadyhttp.Transient:     "The request was fine, but the server or the way to it failed: 4 attempts were made, and resending later may work.",
		steadyhttp.Unprocessed:   "The request was fine and was not acted on: 4 attempts were made, and resending later may work.",
		steadyhttp.Permanent:     "Resending will never work: the answer will be the same.",
		steadyhttp.Canceled:      "The caller gave up: send it again with more time, if the answer is still wanted.",
		steadyhttp.Canceled + 50: "Whose fault it is, is not known: look at the response.",
	} {
		for _, code := range []int{0, 299, 499, 599} {
			advice := (&steadyhttp.ResponseError{StatusCode: code, Class: class, Method: "POST", Attempts: 4}).Advice()
			if class == steadyhttp.Transient {
				want = "The request was fine, but the server or the way to it failed: 4 attempts were made, and resending later may work, but its effect may come twice."
			}
			assert.Equal(t, want, advice)
			assertOneShortSentence(t, advice)
		}
	}
}

func TestAdvice_FollowsTheClassOfAClassifier(t *testing.T) {
	t.Parallel()
	throttled := &steadyhttp.ResponseError{StatusCode: 403, Class: steadyhttp.Throttled, RetryAfter: time.Minute}
	assert.Equal(t, "The client sends too much: slow down, and come back in 60 s.", throttled.Advice())
	broken := &steadyhttp.ResponseError{StatusCode: 422, Class: steadyhttp.Transient, Attempts: 1}
	assert.Equal(t, "The request was fine, but the server or the way to it failed: 1 attempt was made, and resending later may work.", broken.Advice())
	wrong := &steadyhttp.ResponseError{StatusCode: 503, Class: steadyhttp.ClientFault}
	assert.Equal(t, "The request must change: as it is, the server will refuse it again.", wrong.Advice())
	refused := &steadyhttp.ResponseError{StatusCode: 503, Class: steadyhttp.Permanent}
	assert.Equal(t, "Resending will never work: the answer will be the same.", refused.Advice())
}

func TestAdvice_RepeatsTheServersExplanationOfWrongInput(t *testing.T) {
	t.Parallel()
	both := &steadyhttp.Problem{Title: "Out of money", Detail: "It costs 50,\nyou have \"30\"."}
	title := &steadyhttp.Problem{Title: "Out of money"}
	for _, code := range []int{http.StatusBadRequest, http.StatusUnprocessableEntity} {
		for want, failed := range map[string]steadyhttp.ResponseError{
			`The request must change: correct its input, since the server says "It costs 50, you have \"30\"".`: {Problem: both, Body: []byte("x")},
			`The request must change: correct its input, since the server says "Out of money".`:                 {Problem: title, Body: []byte("x")},
			`The request must change: correct its input, since the server says "Out of stock".`:                 {Problem: &steadyhttp.Problem{Title: "Out of stock", Detail: "\n..."}},
			`The request must change: correct its input; the body may explain it.`:                              {Problem: &steadyhttp.Problem{}, Body: []byte("x")},
			`The request must change: correct its input.`:                                                       {},
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
		assert.Contains(t, throttled.Advice(), fmt.Sprintf("come back in %s s.", want))
		busy := &steadyhttp.ResponseError{StatusCode: 503, Class: steadyhttp.Transient, RetryAfter: wait, Attempts: 2}
		assert.Contains(t, busy.Advice(), fmt.Sprintf("2 attempts were made, and resending in %s s may work.", want))
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
