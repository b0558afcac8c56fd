package steadydebug_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadydebug"
)

// A fakeFleet says what a test wants.
type fakeFleet struct{ status steadyhttp.FleetStatus }

func (f fakeFleet) Status() steadyhttp.FleetStatus                              { return f.status }
func (f fakeFleet) Add(string, *steadyhttp.FleetBreaker) steadyhttp.FleetOrigin { return fakeOrigin{} }

type fakeOrigin struct{}

func (fakeOrigin) Failed()                                             {}
func (fakeOrigin) MayProbe(context.Context) (ok bool, _ time.Duration) { return true, 0 }
func (fakeOrigin) Probed(bool, time.Duration)                          {}
func (fakeOrigin) Remove()                                             {}

func TestFleet_IsShownWithItsAdvice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := steadyhttp.FleetStatus{
			Members: 200, Lag: 2300 * time.Microsecond,
			Advice: []steadyhttp.FleetAdvice{{Origin: origin + "<i>", Phase: "down", Since: time.Now().Add(-time.Minute)}},
		}
		handler := steadydebug.Handler(newTransport(t, answering, steadyhttp.WithFleet(fakeFleet{shared})))
		text := get(handler, "text/plain").Body.String()
		assertContainsAll(t, text, "\nfleet: 200 members; lag 2.3ms\n", "\nadvice: "+origin+"<i>: down since ", "1m0s ago\n")
		page := get(handler, "text/html").Body.String()
		assertContainsAll(t, page, "Fleet: 200 members; lag 2.3ms", "<li>"+origin+"&lt;i&gt;: down since ")

		var got struct {
			Transports []struct {
				Fleet struct {
					Members int
					Lag     float64 `json:"lag_seconds"`
					Alone   bool
					Advice  []struct{ Origin, Phase string }
				}
			}
		}
		require.NoError(t, json.Unmarshal(get(handler, "application/json").Body.Bytes(), &got))
		fleet := got.Transports[0].Fleet
		assert.Equal(t, 200, fleet.Members)
		assert.InDelta(t, 0.0023, fleet.Lag, 1e-9)
		assert.False(t, fleet.Alone)
		require.Len(t, fleet.Advice, 1)
		assert.Equal(t, "down", fleet.Advice[0].Phase)
	})
}

func TestFleet_AdviceWithoutATimeHasNone(t *testing.T) {
	t.Parallel()
	advice := []steadyhttp.FleetAdvice{{Origin: origin, Phase: "down"}}
	handler := steadydebug.Handler(newTransport(t, answering, steadyhttp.WithFleet(fakeFleet{steadyhttp.FleetStatus{Advice: advice}})))
	assert.Contains(t, get(handler, "text/plain").Body.String(), "\nadvice: "+origin+": down\n")
	assert.Contains(t, get(handler, "text/html").Body.String(), "<li>"+origin+": down</li>")
	assert.NotContains(t, get(handler, "application/json").Body.String(), "since")
}

func TestFleet_OutOfReachIsSaid(t *testing.T) {
	t.Parallel()
	handler := steadydebug.Handler(newTransport(t, answering, steadyhttp.WithFleet(fakeFleet{steadyhttp.FleetStatus{Alone: true}})))
	want := "members not known; out of reach: breakers are on their own"
	assert.Contains(t, get(handler, "text/plain").Body.String(), want)
	assert.Contains(t, get(handler, "text/html").Body.String(), want)
	assert.Contains(t, get(handler, "application/json").Body.String(), `"alone": true`)
}
