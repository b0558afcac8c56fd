package sdk

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/steadyhttp/steadyhttp"
)

// idempotent marks the calls of procedures whose idempotency_level, in their .proto file, says that they may be
// sent again.
func idempotent(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if request.Spec().IdempotencyLevel != connect.IdempotencyUnknown {
			ctx = steadyhttp.Idempotent(ctx)
		}
		return next(ctx, request)
	}
}

// statusOfGRPC tells by a header what gRPC says in an answer of 200.
func statusOfGRPC(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
	if response != nil && response.Header.Get("Grpc-Status") == "14" { // unavailable
		return steadyhttp.Transient
	}
	return steadyhttp.Unclassified
}

type text = wrapperspb.StringValue

const procedure = "/cats.v1.Cats/Name"

// aProcedure is a client of one procedure, as generated code makes it.
func aProcedure(client *http.Client, options ...connect.ClientOption) *connect.Client[text, text] {
	options = append(options, connect.WithInterceptors(connect.UnaryInterceptorFunc(idempotent)))
	return connect.NewClient[text, text](client, "https://cats.example.com"+procedure, options...)
}

// named is the procedure's server. So many calls find it unavailable first.
func named(unavailable int64) (handler *connect.Handler, calls *atomic.Int64) {
	calls = new(atomic.Int64)
	handler = connect.NewUnaryHandler(procedure, func(_ context.Context, request *connect.Request[text]) (*connect.Response[text], error) {
		if calls.Add(1) <= unavailable {
			return nil, connect.NewError(connect.CodeUnavailable, nil)
		}
		return connect.NewResponse(wrapperspb.String(request.Msg.GetValue() + " the cat")), nil
	})
	return handler, calls
}

func TestConnectCallSucceedsThoughTheServiceFailsFirst(t *testing.T) {
	t.Parallel()
	handler, calls := named(2)
	at := serveHandler(t, handler)
	ctx, assertStatuses := reported(t)
	client := aProcedure(at.steady(t), connect.WithIdempotency(connect.IdempotencyIdempotent))
	response, err := client.CallUnary(ctx, connect.NewRequest(wrapperspb.String("Tom")))
	require.NoError(t, err)
	assert.Equal(t, "Tom the cat", response.Msg.GetValue())
	assert.EqualValues(t, 3, calls.Load())
	assertStatuses(503, 503, 200)
}

func TestConnectCallOfUnknownIdempotencyIsNotRepeated(t *testing.T) {
	t.Parallel()
	handler, calls := named(1)
	at := serveHandler(t, handler)
	ctx, assertStatuses := reported(t)
	_, err := aProcedure(at.steady(t)).CallUnary(ctx, connect.NewRequest(wrapperspb.String("Tom")))
	assert.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	assert.EqualValues(t, 1, calls.Load())
	assertStatuses(503)
}

func TestConnectGetIsSentAgain(t *testing.T) {
	t.Parallel()
	calls := 0
	handler := connect.NewUnaryHandler(procedure, func(_ context.Context, request *connect.Request[text]) (*connect.Response[text], error) {
		if calls++; calls == 1 {
			return nil, connect.NewError(connect.CodeUnavailable, nil)
		}
		assert.Equal(t, http.MethodGet, request.HTTPMethod())
		return connect.NewResponse(request.Msg), nil
	}, connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	at := serveHandler(t, handler)
	ctx, assertStatuses := reported(t)
	client := aProcedure(at.steady(t), connect.WithIdempotency(connect.IdempotencyNoSideEffects), connect.WithHTTPGet())
	response, err := client.CallUnary(ctx, connect.NewRequest(wrapperspb.String("Tom")))
	require.NoError(t, err)
	assert.Equal(t, "Tom", response.Msg.GetValue())
	assertStatuses(503, 200)
}

// TestConnectOverGRPCNeedsAClassifier lets the first call be refused as grpc-go's servers do it, by a header.
func TestConnectOverGRPCNeedsAClassifier(t *testing.T) {
	t.Parallel()
	handler, calls := named(0)
	var refused atomic.Bool
	at := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused.Swap(true) {
			handler.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "14")
	}))
	ctx, assertStatuses := reported(t)
	client := aProcedure(at.steady(t, steadyhttp.WithClassifier(statusOfGRPC)), connect.WithGRPC(),
		connect.WithIdempotency(connect.IdempotencyIdempotent))
	response, err := client.CallUnary(ctx, connect.NewRequest(wrapperspb.String("Tom")))
	require.NoError(t, err)
	assert.Equal(t, "Tom the cat", response.Msg.GetValue())
	assert.EqualValues(t, 1, calls.Load())
	assertStatuses(200, 200)
}

// TestConnectOverGRPCHidesWhatItsTrailersTell shows the limit: once the status is read, the answer is the caller's.
func TestConnectOverGRPCHidesWhatItsTrailersTell(t *testing.T) {
	t.Parallel()
	handler, calls := named(1)
	at := serveHandler(t, handler)
	ctx, assertStatuses := reported(t)
	client := aProcedure(at.steady(t, steadyhttp.WithClassifier(statusOfGRPC)), connect.WithGRPC(),
		connect.WithIdempotency(connect.IdempotencyIdempotent))
	_, err := client.CallUnary(ctx, connect.NewRequest(wrapperspb.String("Tom")))
	assert.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	assert.EqualValues(t, 1, calls.Load())
	assertStatuses(200)
}
