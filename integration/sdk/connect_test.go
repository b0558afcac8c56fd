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

// idempotent marks the calls of procedures that are idempotent by the idempotency_level in their .proto file.
func idempotent(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if request.Spec().IdempotencyLevel != connect.IdempotencyUnknown {
			ctx = steadyhttp.Idempotent(ctx)
		}
		return next(ctx, request)
	}
}

// statusOfGRPC classifies a response of status 200 by the status of gRPC, if that is in the header.
func statusOfGRPC(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
	if response == nil || response.StatusCode != http.StatusOK {
		return steadyhttp.Unclassified
	}
	switch response.Header.Get("Grpc-Status") {
	case "14": // UNAVAILABLE
		return steadyhttp.Transient
	case "2", "4", "13", "15": // UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, DATA_LOSS
		return steadyhttp.ServerFault // counted, not retried
	default: // "0", or the fault of the caller
		return steadyhttp.Unclassified
	}
}

type text = wrapperspb.StringValue

const procedure = "/cats.v1.Cats/Name"

// newProcedureClient returns a client of one procedure, made as generated code does it.
func newProcedureClient(client *http.Client, options ...connect.ClientOption) *connect.Client[text, text] {
	options = append(options, connect.WithInterceptors(connect.UnaryInterceptorFunc(idempotent)))
	return connect.NewClient[text, text](client, "https://cats.example.com"+procedure, options...)
}

// newProcedureHandler returns the procedure's server, which is unavailable for the first calls.
func newProcedureHandler(unavailable int64) (handler *connect.Handler, calls *atomic.Int64) {
	calls = new(atomic.Int64)
	handler = connect.NewUnaryHandler(procedure, func(_ context.Context, request *connect.Request[text]) (*connect.Response[text], error) {
		if calls.Add(1) <= unavailable {
			return nil, connect.NewError(connect.CodeUnavailable, nil)
		}
		return connect.NewResponse(wrapperspb.String(request.Msg.GetValue() + " the cat")), nil
	})
	return handler, calls
}

func TestConnect_CallSucceedsAfterFailures(t *testing.T) {
	t.Parallel()
	handler, calls := newProcedureHandler(2)
	server := newServiceOf(t, handler)
	ctx, assertStatuses := newReport(t)
	client := newProcedureClient(server.steadyClient(t), connect.WithIdempotency(connect.IdempotencyIdempotent))
	response, err := client.CallUnary(ctx, connect.NewRequest(wrapperspb.String("Tom")))
	require.NoError(t, err)
	assert.Equal(t, "Tom the cat", response.Msg.GetValue())
	assert.EqualValues(t, 3, calls.Load())
	assertStatuses(503, 503, 200)
}

func TestConnect_CallOfUnknownIdempotencyIsNotRetried(t *testing.T) {
	t.Parallel()
	handler, calls := newProcedureHandler(1)
	server := newServiceOf(t, handler)
	ctx, assertStatuses := newReport(t)
	_, err := newProcedureClient(server.steadyClient(t)).CallUnary(ctx, connect.NewRequest(wrapperspb.String("Tom")))
	assert.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	assert.EqualValues(t, 1, calls.Load())
	assertStatuses(503)
}

func TestConnect_GetIsRetried(t *testing.T) {
	t.Parallel()
	calls := 0
	handler := connect.NewUnaryHandler(procedure, func(_ context.Context, request *connect.Request[text]) (*connect.Response[text], error) {
		if calls++; calls == 1 {
			return nil, connect.NewError(connect.CodeUnavailable, nil)
		}
		assert.Equal(t, http.MethodGet, request.HTTPMethod())
		return connect.NewResponse(request.Msg), nil
	}, connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	server := newServiceOf(t, handler)
	ctx, assertStatuses := newReport(t)
	client := newProcedureClient(server.steadyClient(t), connect.WithIdempotency(connect.IdempotencyNoSideEffects), connect.WithHTTPGet())
	response, err := client.CallUnary(ctx, connect.NewRequest(wrapperspb.String("Tom")))
	require.NoError(t, err)
	assert.Equal(t, "Tom", response.Msg.GetValue())
	assertStatuses(503, 200)
}

// TestConnect_GRPCStatusInTheHeaderNeedsAClassifier rejects the first call in the way of grpc-go's servers, by a
// header.
func TestConnect_GRPCStatusInTheHeaderNeedsAClassifier(t *testing.T) {
	t.Parallel()
	handler, calls := newProcedureHandler(0)
	var refused atomic.Bool
	server := newServiceOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused.Swap(true) {
			handler.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "14")
	}))
	ctx, assertStatuses := newReport(t)
	client := newProcedureClient(server.steadyClient(t, steadyhttp.WithClassifier(statusOfGRPC)), connect.WithGRPC(),
		connect.WithIdempotency(connect.IdempotencyIdempotent))
	response, err := client.CallUnary(ctx, connect.NewRequest(wrapperspb.String("Tom")))
	require.NoError(t, err)
	assert.Equal(t, "Tom the cat", response.Msg.GetValue())
	assert.EqualValues(t, 1, calls.Load())
	assertStatuses(200, 200)
}

// One code is worth a retry; the others that are the server's fault are counted, and the caller's own are not.
func TestConnect_GRPCStatusHasAClass(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]steadyhttp.Class{
		"0": steadyhttp.Unclassified, "5": steadyhttp.Unclassified, "8": steadyhttp.Unclassified,
		"13": steadyhttp.ServerFault, "14": steadyhttp.Transient,
	} {
		response := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Grpc-Status": {code}}}
		assert.Equal(t, want, statusOfGRPC(nil, response, nil), code)
	}
	assert.Equal(t, steadyhttp.Unclassified, statusOfGRPC(nil, nil, http.ErrHandlerTimeout))
	assert.Equal(t, steadyhttp.Unclassified, statusOfGRPC(nil, &http.Response{StatusCode: http.StatusServiceUnavailable}, nil))
}

// TestConnect_GRPCStatusInTheTrailerIsNotSeen shows the limit: when the trailer arrives, the response is
// already with the caller.
func TestConnect_GRPCStatusInTheTrailerIsNotSeen(t *testing.T) {
	t.Parallel()
	handler, calls := newProcedureHandler(1)
	server := newServiceOf(t, handler)
	ctx, assertStatuses := newReport(t)
	client := newProcedureClient(server.steadyClient(t, steadyhttp.WithClassifier(statusOfGRPC)), connect.WithGRPC(),
		connect.WithIdempotency(connect.IdempotencyIdempotent))
	_, err := client.CallUnary(ctx, connect.NewRequest(wrapperspb.String("Tom")))
	assert.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	assert.EqualValues(t, 1, calls.Load())
	assertStatuses(200)
}
