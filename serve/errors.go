package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/sample"
)

// apiError is an answer that is not a result. It reads as OpenAI's: {"error":{message,type,param,code}}.
type apiError struct {
	status  int    // HTTP status
	message string // for the caller: what was found, what is wanted
	kind    string // OpenAI's type
	param   string // the request's field that is wrong, or ""
	code    string // OpenAI's code, or ""
	retry   int    // seconds for Retry-After; 0 for none
	allow   string // the method for Allow, or ""
}

func (e *apiError) Error() string { return e.message }

// MarshalJSON writes the object that stands under "error"; an empty param or code is null.
func (e *apiError) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}{e.message, e.kind, orNull(e.param), orNull(e.code)})
}

// name is how the log calls e.
func (e *apiError) name() string { return cmp.Or(e.code, e.kind) }

// errorBody is the JSON of an error answer, and of an error in the middle of a stream.
type errorBody struct {
	Error *apiError `json:"error"`
}

const (
	invalidRequest = "invalid_request_error"
	serverError    = "server_error"

	contextExceeded = "context_length_exceeded"
)

// badParam is a 400 that names the field at fault.
func badParam(param, format string, args ...any) *apiError {
	return &apiError{status: fasthttp.StatusBadRequest, kind: invalidRequest, param: param, message: fmt.Sprintf(format, args...)}
}

// invalid is an error of the request as a whole.
func invalid(status int, format string, args ...any) *apiError {
	return &apiError{status: status, kind: invalidRequest, message: fmt.Sprintf(format, args...)}
}

// unavailable is a 503: come back later.
func unavailable(message string) *apiError {
	return &apiError{status: fasthttp.StatusServiceUnavailable, kind: serverError, code: "unavailable", message: message, retry: 1}
}

// deviceLost is a 503 until somebody starts the process again. It tells the device's own words, for whoever that is.
func deviceLost(err error) *apiError {
	return &apiError{status: fasthttp.StatusServiceUnavailable, kind: serverError, code: "device_lost", message: err.Error()}
}

// queueFull is a 429, with OpenAI's code; call.fail says when to come back.
func queueFull(message string) *apiError {
	return &apiError{status: fasthttp.StatusTooManyRequests, kind: "rate_limit_error", code: "rate_limit_exceeded", message: message, retry: 1}
}

// internalError is a 500. What went wrong is for the log, not for the caller.
func internalError() *apiError {
	return &apiError{status: fasthttp.StatusInternalServerError, kind: serverError, code: "internal_error",
		message: "the server failed to answer this request"}
}

// asAPIError turns an error of the generator into an answer.
func asAPIError(err error) *apiError {
	var e *apiError
	var param *sample.ParamError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &param):
		return badParam(param.Param, "%v", param)
	case errors.Is(err, engine.ErrQueueFull):
		return queueFull("too many requests are waiting: try again later")
	case errors.Is(err, engine.ErrTooLong):
		e := badParam("prompt", "%v", err)
		e.code = contextExceeded
		return e
	case errors.Is(err, engine.ErrLost):
		return deviceLost(err)
	case errors.Is(err, engine.ErrClosed), errors.Is(err, context.Canceled):
		return unavailable("the server is shutting down")
	}
	return internalError()
}

// parseError answers what fasthttp could not read as a request.
func parseError(err error, maxBody int) *apiError {
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return invalid(fasthttp.StatusRequestEntityTooLarge, "the request body has more than %d bytes", maxBody)
	case errors.As(err, &small):
		return invalid(fasthttp.StatusRequestHeaderFieldsTooLarge, "the request header has more than %d bytes", headerLimit)
	case errors.As(err, &timeout) && timeout.Timeout():
		return invalid(fasthttp.StatusRequestTimeout, "the request did not arrive in time")
	}
	return invalid(fasthttp.StatusBadRequest, "the request is not HTTP/1.1: %s", withoutQuotes(err))
}

// withoutQuotes is err up to what it quotes of a request: that may be a key.
func withoutQuotes(err error) string {
	text, _, _ := strings.Cut(err.Error(), `"`)
	return strings.TrimRight(text, ": ")
}

// clientLeft is what nobody reads; the log and the counters show it under nginx's status for it.
func clientLeft() *apiError {
	return &apiError{status: 499, kind: invalidRequest, code: "client_left", message: errLeft.Error()}
}
