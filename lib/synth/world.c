/* world.c: the vocabulary of the synthetic world. */
#include "synth/world.h"

#include <string.h>

#include "base/rng.h"

static const struct {
    const char *one, *many;
} shapes[MM_NSHAPES] = {
    [MM_CIRCLE] = { "circle", "circles" },       [MM_SQUARE] = { "square", "squares" },
    [MM_TRIANGLE] = { "triangle", "triangles" }, [MM_STAR] = { "star", "stars" },
    [MM_HEART] = { "heart", "hearts" },          [MM_CROSS] = { "cross", "crosses" },
    [MM_RING] = { "ring", "rings" },             [MM_DIAMOND] = { "diamond", "diamonds" },
    [MM_CRESCENT] = { "crescent", "crescents" }, [MM_ARROW] = { "arrow", "arrows" },
};

static const struct {
    const char *name;
    unsigned char rgb[3];
} colours[MM_NCOLOURS] = {
    { "red", { 220, 35, 35 } },     { "green", { 35, 165, 60 } },   { "blue", { 40, 80, 225 } },
    { "yellow", { 245, 220, 45 } }, { "orange", { 245, 140, 25 } }, { "purple", { 135, 50, 185 } },
    { "pink", { 252, 150, 200 } },  { "brown", { 120, 72, 35 } },   { "black", { 20, 20, 20 } },
    { "white", { 245, 245, 245 } },
};

static const char *const words[MM_NWORDS + MM_NWORDS_HELD] = {
    "able", "acid", "arm", "army", "art", "away", "baby", "back", "bag", "ball", "band", "bank",
    "bar", "base", "bath", "bed", "bell", "belt", "big", "bird", "blue", "boat", "body", "bone",
    "book", "box", "boy", "bread", "brush", "bus", "cake", "call", "camp", "card", "cat", "cave",
    "chair", "city", "clock", "cloud", "club", "coat", "cold", "cook", "corn", "cow", "crow", "cup",
    "dance", "dark", "day", "deer", "desk", "dish", "dog", "door", "draw", "dream", "drum", "duck",
    "ear", "east", "easy", "egg", "end", "eye", "face", "fall", "farm", "fast", "fish", "five",
    "flag", "flat", "food", "foot", "fork", "fox", "free", "frog", "fruit", "game", "gate", "gift",
    "girl", "glad", "gold", "good", "grass", "green", "hair", "hall", "hand", "happy", "hat",
    "head", "hill", "home", "horse", "hot", "house", "ice", "idea", "iron", "jam", "job", "joke",
    "jump", "key", "kick", "king", "kite", "lake", "lamp", "leaf", "left", "leg", "lemon", "lion",
    "list", "long", "love", "luck", "map", "mask", "milk", "moon", "mouse", "music", "nail", "name",
    "neck", "nest", "night", "nose", "nut", "oil", "old", "open", "oven", "page", "paint", "paper",
    "park", "party", "pen", "piano", "pig", "pink", "plane", "plant", "play", "pool", "queen",
    "quick", "quiz", "rain", "red", "rice", "right", "river", "road", "rock", "roof", "room",
    "rose", "sad", "salt", "sand", "sea", "seed", "ship", "shoe", "shop", "sky", "snow", "soap",
    "song", "soup", "spoon", "star", "stone", "sugar", "sun", "table", "taxi", "tea", "ten",
    "tiger", "time", "town", "wall", "zoo", "toy", "train", "tree", "van", "water", "west", "zebra",
    /* held out: letters and pairs of letters of the list, other words */
    "ant", "apple", "bat", "bean", "bear", "bike", "bowl", "cart", "coin", "cord", "crab", "dawn",
    "dice", "dust", "fan", "fire", "flame", "goat", "grape", "harp", "hero", "hood", "jar", "knee",
    "lime", "mango", "mint", "nine", "north", "onion", "palm", "peach", "pine", "plum", "pond",
    "rope", "sail", "sheep", "silk", "snail", "sock", "swan", "tail", "tent", "toad", "torch",
    "vase", "wind", "wolf", "yard",
};

static const char *const cells[3][3][2] = {
    { { "top left", "at the top left" }, { "top", "at the top" }, { "top right", "at the top right" } },
    { { "left", "on the left" }, { "center", "in the center" }, { "right", "on the right" } },
    { { "bottom left", "at the bottom left" },
      { "bottom", "at the bottom" },
      { "bottom right", "at the bottom right" } },
};

const char *mm_shape_name(int shape)
{
    return shapes[shape].one;
}

const char *mm_shape_plural(int shape)
{
    return shapes[shape].many;
}

const char *mm_colour_name(int colour)
{
    return colours[colour].name;
}

const unsigned char *mm_colour_rgb(int colour)
{
    return colours[colour].rgb;
}

const char *mm_sound_name(int sound)
{
    static const char *const names[MM_NSOUNDS] = { "tone", "chord", "chirp", "noise", "drum" };

    return names[sound];
}

const char *mm_sound_plural(int sound)
{
    static const char *const names[MM_NSOUNDS] = { "tones", "chords", "chirps", "noises", "drums" };

    return names[sound];
}

const char *mm_pitch_name(int pitch)
{
    return pitch != 0 ? "high" : "low";
}

const char *mm_glide_name(int glide)
{
    return glide != 0 ? "falling" : "rising";
}

static const struct {
    const char *name;
    bool chords;
} instruments[MM_NINSTRUMENTS] = {
    [MM_PIANO] = { "piano", true },         [MM_XYLOPHONE] = { "xylophone", true },
    [MM_BELL] = { "bell", false },          [MM_ORGAN] = { "organ", true },
    [MM_ACCORDION] = { "accordion", true }, [MM_GUITAR] = { "guitar", true },
    [MM_VIOLIN] = { "violin", false },      [MM_CELLO] = { "cello", false },
    [MM_HARP] = { "harp", true },           [MM_CHOIR] = { "choir", true },
    [MM_TRUMPET] = { "trumpet", false },    [MM_SAXOPHONE] = { "saxophone", false },
    [MM_CLARINET] = { "clarinet", false },  [MM_FLUTE] = { "flute", false },
    [MM_BANJO] = { "banjo", true },         [MM_TOM] = { "drum", false },
};

const char *mm_instrument_name(int instrument)
{
    return instruments[instrument].name;
}

bool mm_instrument_chords(int instrument)
{
    return instruments[instrument].chords;
}

const char *mm_voicing_name(int voicing)
{
    return voicing != 0 ? "chord" : "note";
}

const char *mm_size_name(int size)
{
    return size != 0 ? "large" : "small";
}

const char *mm_world_word(int word, char buf[MM_WORD_LEN])
{
    int n = 0;

    if (word < MM_INVENTED)
        return words[word];
    for (int code = word - MM_INVENTED; code > 0; code /= 27)
        buf[n++] = (char)('a' + code % 27 - 1);
    buf[n] = '\0';
    return buf;
}

int mm_word_invent(struct mm_rng *r)
{
    static const char vowels[] = "aeiou", consonants[] = "bcdfghjklmnpqrstvwxyz";
    char buf[MM_WORD_LEN];
    int word, same;

    do {
        const int n = 3 + (int)mm_rng_below(r, 3), odd = (int)mm_rng_below(r, 2);

        word = 0;
        for (int i = 0; i < n; i++) {
            const bool any = mm_rng_below(r, 4) == 0, vowel = (i + odd) % 2 == 0;
            const char c = any     ? (char)('a' + mm_rng_below(r, 26))
                           : vowel ? vowels[mm_rng_below(r, sizeof(vowels) - 1)]
                                   : consonants[mm_rng_below(r, sizeof(consonants) - 1)];

            word = word * 27 + (c - 'a' + 1);
        }
        word += MM_INVENTED;
        mm_world_word(word, buf);
        for (same = 0; same < MM_INVENTED && strcmp(words[same], buf) != 0; same++)
            continue;
    } while (same < MM_INVENTED);
    return word;
}

const char *mm_cell_name(int col, int row)
{
    return cells[row][col][0];
}

const char *mm_cell_phrase(int col, int row)
{
    return cells[row][col][1];
}

const char *mm_col_name(int col)
{
    static const char *const names[] = { "left", "center", "right" };

    return names[col];
}

const char *mm_row_name(int row)
{
    static const char *const names[] = { "top", "middle", "bottom" };

    return names[row];
}

bool mm_shape_held(int shape, int colour)
{
    return shape == (3 * colour + 1) % MM_NSHAPES; /* 3 and 10 have no common factor */
}

bool mm_pair_held(const char *a, const char *b)
{
    const int order = strcmp(a, b);
    uint64_t h;

    if (order == 0)
        return false;
    h = mm_hash64(order < 0 ? a : b, strlen(order < 0 ? a : b));
    h = mm_hash64_add(h, "|", 1);
    h = mm_hash64_add(h, order < 0 ? b : a, strlen(order < 0 ? b : a));
    return (h ^ h >> 29) * UINT64_C(0x9E3779B97F4A7C15) >> 60 == 0;
}

enum mm_split mm_split_of(uint64_t hash)
{
    const uint64_t tenth = ((hash ^ hash >> 31) * UINT64_C(0x9E3779B97F4A7C15) >> 32) % 10;

    return tenth < 8 ? MM_TRAIN : tenth == 8 ? MM_VAL : MM_TEST;
}

const char *mm_split_name(enum mm_split split)
{
    static const char *const names[] = { "train", "val", "test" };

    return names[split];
}
