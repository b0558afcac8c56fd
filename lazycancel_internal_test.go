package steadyhttp

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

var errEnded = errors.New("ended")

func TestLazyContext_EndsEachChildOnceUnlessItIsStopped(t *testing.T) {
	t.Parallel()
	for stopped := range 1 << 3 {
		c := &lazyContext{Context: context.Background()}
		ended := make([]int, 3)
		stops := make([]func() bool, 3)
		for i := range ended {
			stops[i] = c.AfterFunc(func() {
				assert.Equal(t, errEnded, c.Err(), "it has ended by then")
				assert.False(t, stops[i](), "too late")
				ended[i]++
			})
		}
		want := []int{1, 1, 1}
		for i, stop := range stops {
			if stopped&(1<<i) != 0 {
				want[i] = 0
				assert.True(t, stop())
				assert.False(t, stop(), "it was stopped")
			}
		}
		c.cancel(errEnded)
		c.cancel(context.Canceled)
		c.release(nil)
		assert.Equal(t, errEnded, c.Err())
		assert.Equal(t, want, ended)
	}
}

func TestLazyContext_StoppedChildLeavesItsRoomToTheNext(t *testing.T) {
	t.Parallel()
	c := &lazyContext{Context: context.Background()}
	for range 3 {
		first := c.AfterFunc(func() { t.Error("it was stopped") })
		assert.True(t, first())
		ended := false
		second := c.AfterFunc(func() { ended = true })
		assert.False(t, first(), "of the first one alone")
		assert.False(t, ended)
		assert.True(t, second())
	}
	assert.Zero(t, len(c.children))
	assert.Nil(t, c.room[0].cancel, "nothing is kept alive")
	assert.Equal(t, 1, cap(c.children))
}

func TestLazyContext_ChildOfOneThatEndedEndsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &lazyContext{Context: context.Background()}
		c.cancel(errEnded)
		ended := false
		stop := c.AfterFunc(func() { ended = true })
		synctest.Wait()
		assert.True(t, ended)
		assert.False(t, stop())
	})
}

func TestLazyContext_EndsWithItsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(t.Context())
		c := &lazyContext{Context: parent}
		assert.False(t, c.isKnown())
		var ended int
		for range 3 {
			c.AfterFunc(func() { ended++ })
		}
		assert.True(t, c.isKnown())
		cancel()
		synctest.Wait()
		assert.Equal(t, 3, ended)
		assert.Equal(t, context.Canceled, c.Err())
		<-c.Done()
	})
}

// Released, it is no child of its parent's any more.
func TestLazyContext_ReleasedIsForgottenByItsParent(t *testing.T) {
	t.Parallel()
	forgotten := 0
	c := &lazyContext{Context: context.Background(), forget: func() bool { forgotten++; return true }}
	c.release(nil)
	assert.Equal(t, 1, forgotten)
	assert.Equal(t, context.Canceled, c.Err())
	<-c.Done()
}
