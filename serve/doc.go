// Package serve answers OpenAI's completions and chat APIs over HTTP. Text belongs here, and only here: a request's own
// goroutine turns tokens into whole UTF-8, looks for stop strings and flushes every token as it comes. A client
// that leaves cancels its request, in the queue as in the middle of an answer.
package serve
