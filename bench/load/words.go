package load

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
)

// words are what prompts of text are made of, unless a file has better ones.
var words = strings.Fields(`the of and a to in is you that it he was for on are as with his they I at be this have from or one
had by word but not what all were we when your can said there use an each which she do how their if will up other about out
many then them these so some her would make like him into time has look two more write go see number no way could people my
than first water been call who oil its now find long down day did get come made may part over new sound take only little work
know place year live me back give most very after thing our just name good sentence man think say great where help through
much before line right too mean old any same tell boy follow came want show also around form three small set put end does
another well large must big even such because turn here why ask went men read need land different home us move try kind hand
picture again change off play spell air away animal house point page letter mother answer found study still learn should`)

// wordsPerToken is of English words in a vocabulary of some 32,000.
const wordsPerToken = 0.8

// calibrate asks the servers, the first that knows /tokenize, how many tokens words have.
func calibrate(ctx context.Context, o *Options, clients []*client) (perToken float64, known bool) {
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	list := make([]string, 1000)
	for i := range list {
		list[i] = o.Words[rng.IntN(len(o.Words))]
	}
	text := strings.Join(list, " ")
	for _, c := range clients {
		// llama-server and llmqat-serve read content, vLLM reads prompt.
		b, status, err := c.ask(ctx, http.MethodPost, "/tokenize", map[string]string{"content": text, "prompt": text, "model": c.server.Model})
		var answer struct{ Tokens []json.RawMessage }
		if err == nil && status == http.StatusOK && json.Unmarshal(b, &answer) == nil && len(answer.Tokens) > 0 {
			return float64(len(list)) / float64(len(answer.Tokens)), true
		}
	}
	return wordsPerToken, false
}
