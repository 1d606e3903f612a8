// Command client checks a running llmqat-serve with OpenAI's own client for Go. It is a module of its own: the client
// takes a minute to compile.
//
//	llmqat-serve --chat-template chatml &
//	go run . http://127.0.0.1:8080
//
// Exits with 1 and the list of what differs. It needs a model with 128 tokens of context.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

const prompt = "Once upon a time"

var failures []string

func check(what string, ok bool, found any) {
	if !ok {
		failures = append(failures, fmt.Sprintf("%s: found %+v", what, found))
	}
}

// must is for what the rest stands on.
func must[T any](v T, err error) T {
	if err != nil {
		fmt.Println("FAIL", err)
		os.Exit(1)
	}
	return v
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	key := os.Getenv("LLMQAT_API_KEY")
	if key == "" {
		key = "none"
	}
	client := openai.NewClient(option.WithBaseURL(strings.TrimRight(os.Args[1], "/")+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
	model := must(client.Models.List(ctx)).Data[0].ID
	check("model", must(client.Models.Get(ctx, model)).ID == model, model)
	completions(ctx, client, model)
	chat(ctx, client, model)
	refusals(ctx, client, model)
	for _, f := range failures {
		fmt.Println("FAIL", f)
	}
	fmt.Printf("%d failures, openai-go, model %s\n", len(failures), model)
	if len(failures) > 0 {
		os.Exit(1)
	}
}

// params are of a short greedy answer.
func params(model string) openai.CompletionNewParams {
	return openai.CompletionNewParams{
		Model: openai.CompletionNewParamsModel(model), Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String(prompt)},
		MaxTokens: openai.Int(12), Temperature: openai.Float(0),
	}
}

func completions(ctx context.Context, client openai.Client, model string) {
	p := params(model)
	plain := must(client.Completions.New(ctx, p))
	text := plain.Choices[0].Text
	check("object", plain.Object == "text_completion", plain.Object)
	check("text", text != "" && plain.Choices[0].FinishReason != "", plain)
	u := plain.Usage
	check("usage", u.TotalTokens == u.PromptTokens+u.CompletionTokens && u.JSON.PromptTokensDetails.Valid(), u)

	p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := client.Completions.NewStreaming(ctx, p)
	streamed, last := "", openai.Completion{}
	for stream.Next() {
		last = stream.Current()
		for _, c := range last.Choices {
			streamed += c.Text
		}
	}
	check("stream", stream.Err() == nil && streamed == text, stream.Err())
	check("usage chunk", len(last.Choices) == 0 && last.Usage.CompletionTokens == u.CompletionTokens, last)

	p = params(model)
	p.Temperature, p.Seed, p.N = openai.Float(1), openai.Int(7), openai.Int(3)
	three := texts(must(client.Completions.New(ctx, p)))
	check("n and seed", len(three) == 3 && slices.Equal(three, texts(must(client.Completions.New(ctx, p)))), three)
	p.N, p.BestOf = openai.Int(2), openai.Int(3)
	best := texts(must(client.Completions.New(ctx, p)))
	check("best_of", len(best) == 2 && slices.Contains(three, best[0]) && slices.Contains(three, best[1]), best)

	p = params(model)
	p.Logprobs, p.Stop = openai.Int(2), openai.CompletionNewParamsStopUnion{OfStringArray: []string{"~~~~"}}
	c := must(client.Completions.New(ctx, p)).Choices[0]
	check("logprobs", strings.Join(c.Logprobs.Tokens, "") == text && len(c.Logprobs.TokenLogprobs) == len(c.Logprobs.Tokens) &&
		len(c.Logprobs.TopLogprobs) == len(c.Logprobs.Tokens) && len(c.Logprobs.TextOffset) == len(c.Logprobs.Tokens), c.Logprobs)
	// The first null that OpenAI has in top_logprobs is more than this client reads: it drops the list.
	p.Echo = openai.Bool(true)
	c = must(client.Completions.New(ctx, p)).Choices[0]
	check("echo", c.Text == prompt+text && strings.Join(c.Logprobs.Tokens, "") == c.Text, c)

	// A stream that is left takes nothing with it.
	p = params(model)
	p.MaxTokens = openai.Int(40)
	left := client.Completions.NewStreaming(ctx, p)
	check("a chunk", left.Next(), left.Err())
	left.Close()
	check("after a client left", must(client.Completions.New(ctx, params(model))).Choices[0].Text == text, nil)
}

func texts(c *openai.Completion) (list []string) {
	for _, one := range c.Choices {
		list = append(list, one.Text)
	}
	return list
}

func chat(ctx context.Context, client openai.Client, model string) {
	p := openai.ChatCompletionNewParams{
		Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("You tell stories."), openai.UserMessage(prompt)},
		MaxCompletionTokens: openai.Int(12), Temperature: openai.Float(0), Logprobs: openai.Bool(true), TopLogprobs: openai.Int(2),
	}
	whole := must(client.Chat.Completions.New(ctx, p))
	said := whole.Choices[0].Message.Content
	check("chat", said != "" && whole.Choices[0].FinishReason != "", whole)
	for _, t := range whole.Choices[0].Logprobs.Content {
		check("chat: logprobs", len(t.TopLogprobs) == 2 && t.Logprob <= 0, t)
	}
	p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := client.Chat.Completions.NewStreaming(ctx, p)
	var sum openai.ChatCompletionAccumulator
	for stream.Next() {
		check("chat: a chunk", sum.AddChunk(stream.Current()), stream.Current())
	}
	check("chat: stream", stream.Err() == nil && len(sum.Choices) == 1 && sum.Choices[0].Message.Content == said, stream.Err())
	check("chat: usage", sum.Usage.CompletionTokens == whole.Usage.CompletionTokens, sum.Usage)
	p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "f"})}
	_, err := client.Chat.Completions.New(ctx, p)
	var e *openai.Error
	check("chat: tools", errors.As(err, &e) && e.StatusCode == 400 && e.Param == "tools", err)
}

// refusals are errors with status, type and parameter.
func refusals(ctx context.Context, client openai.Client, model string) {
	for _, c := range []struct {
		param  string
		status int
		change func(*openai.CompletionNewParams)
	}{
		{"temperature", 400, func(p *openai.CompletionNewParams) { p.Temperature = openai.Float(3) }},
		{"best_of", 400, func(p *openai.CompletionNewParams) { p.N, p.BestOf = openai.Int(2), openai.Int(1) }},
		{"suffix", 400, func(p *openai.CompletionNewParams) { p.Suffix = openai.String("the end") }},
		{"model", 404, func(p *openai.CompletionNewParams) { p.Model = "no-such-model" }},
	} {
		p := params(model)
		c.change(&p)
		_, err := client.Completions.New(ctx, p)
		var e *openai.Error
		check(c.param, errors.As(err, &e) && e.StatusCode == c.status && e.Param == c.param && e.Type == "invalid_request_error" && e.Message != "", err)
		stream := client.Completions.NewStreaming(ctx, p)
		check(c.param+" streamed", !stream.Next() && errors.As(stream.Err(), &e) && e.Param == c.param, stream.Err())
	}
}
