package steadyfleet

import "context"

// A Store is where processes meet. [New] returns one over Redis or Valkey, [InMemory] one for tests.
//
// Its methods are called from many goroutines at once, and must return when their context ends. A panic there ends the program.
// What it says may be late, lost or wrong: a [Fleet] makes the best of it.
type Store interface {
	// Tell takes in a report, and returns the word on its origin. A report that comes too late is no harm.
	Tell(ctx context.Context, group string, r Report) (Word, error)
	// Beat counts a process in for half a minute, and returns how many there are.
	Beat(ctx context.Context, group, process string) (members int64, err error)
	// Listen calls hear for each word to the group, one after the other, until ctx ends or listening fails.
	Listen(ctx context.Context, group string, hear func(Word)) error
}
