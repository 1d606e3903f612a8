package tokenizer

// GPT-2's byte alphabet spells each byte as one printable character: itself where Latin-1 prints it, else
// U+0100 and on, in the order of the bytes. A space is "Ġ". runeByte has -1 for what is not in the alphabet.
var byteRune, runeByte = byteAlphabet()

func byteAlphabet() (byteRune [256]rune, runeByte [256 + 68]int16) {
	for r := range runeByte {
		runeByte[r] = -1
	}
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae) {
			r = next
			next++
		}
		byteRune[b] = r
		runeByte[r] = int16(b)
	}
	return byteRune, runeByte
}

// fromByteAlphabet returns the bytes that token spells; or, if it has a character outside the alphabet,
// token itself and false.
func fromByteAlphabet(token string) (raw string, ok bool) {
	b := make([]byte, 0, len(token))
	for _, r := range token {
		if int(r) >= len(runeByte) || runeByte[r] < 0 {
			return token, false
		}
		b = append(b, byte(runeByte[r]))
	}
	return string(b), true
}
