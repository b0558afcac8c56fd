package steadyhttp

import (
	"reflect"
	"slices"
)

// HTTP/2 error codes (RFC 9113 §7) that say more than that something went wrong.
const (
	refusedStream      = 0x7 // the server promises that it did not act on the request (§8.7)
	inadequateSecurity = 0xc
	http11Required     = 0xd
)

// http2Codes returns the error codes that a server sent, in a RST_STREAM frame or a GOAWAY frame.
func http2Codes(err error) []uint64 {
	var codes []uint64
	anyError(err, func(err error) bool {
		if code, ok := http2Code(err); ok {
			codes = append(codes, code)
		}
		return false
	})
	return codes
}

// http2Code looks at the fields, since there are many types: http2StreamError and http2GoAwayError in net/http,
// StreamError and GoAwayError in golang.org/x/net/http2. Only the first of them has an As method.
func http2Code(err error) (uint64, bool) {
	value := reflect.ValueOf(err)
	if value.Kind() != reflect.Struct {
		return 0, false
	}
	for code, beside := range map[string]string{"Code": "StreamID", "ErrCode": "LastStreamID"} {
		if number := value.FieldByName(code); isUint32(number) && isUint32(value.FieldByName(beside)) {
			return number.Uint(), true
		}
	}
	return 0, false
}

func isUint32(value reflect.Value) bool { return value.IsValid() && value.Kind() == reflect.Uint32 }

// goAwayText begins net/http's error of the first stream on a connection, which it does not retry after a
// GOAWAY (http2ClientConn.setGoAway). It has no type.
const goAwayText = "http2: Transport received GOAWAY from server ErrCode:"

// isHTTP2Refusal reports whether the server will not speak HTTP/2 with us, for this request or at all. Another
// attempt would be made over HTTP/2 as well.
func isHTTP2Refusal(err error) bool {
	refuses := func(code uint64) bool { return code == http11Required || code == inadequateSecurity }
	return slices.ContainsFunc(http2Codes(err), refuses) ||
		hasErrorText(err, goAwayText+"HTTP_1_1_REQUIRED", goAwayText+"INADEQUATE_SECURITY")
}

// isRefusedByHTTP2 reports whether the request was surely never acted on: its stream was refused, or there was
// none yet, or the server's GOAWAY said that it is above the last one looked at (RFC 9113 §6.8).
func isRefusedByHTTP2(err error) bool {
	return slices.Contains(http2Codes(err), refusedStream) || hasErrorText(err,
		errNotEstablished,
		"http2: client conn not usable",
		"http2: no cached connection was available",
		"http2: Transport received Server's graceful shutdown GOAWAY",
	)
}

// isUnreadable reports whether net/http could not read what came over an HTTP/2 connection. Mostly that is a response
// header larger than it takes: a field alone is then a COMPRESSION_ERROR, and more than twice the limit in all a
// PROTOCOL_ERROR (http2Framer.readMetaFrame). It is the error of every stream on the connection.
func isUnreadable(err error) bool {
	return hasErrorText(err, "connection error: COMPRESSION_ERROR", "connection error: PROTOCOL_ERROR")
}
