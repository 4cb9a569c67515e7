// A Llama decoder in plain C, to compare chips with: one thread, one token after another, float32 or int8.
//
//   decoder MODEL.bin float|int8 TOKENS BOS REPEATS
//
// MODEL.bin holds eight int32 (width, hidden, layers, heads, key heads, head width, vocabulary, context), two
// float32 (epsilon, rope theta) and float32 weights: embedding, then per layer norm, q, k, v, o, norm, gate, up, down,
// then the last norm. Logits use the embedding. int8 means one scale per row of weights and one per vector, both
// symmetric, products summed in int32. Generates greedily and prints the tokens, then the processor seconds of each repeat.

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    int rows, columns;
    float *weight;
    int8_t *small;
    float *scale;
} Matrix;

typedef struct {
    float *norm_attention, *norm_mlp;
    Matrix q, k, v, o, gate, up, down;
} Layer;

static int width, hidden, layers, heads, key_heads, head, vocabulary, context, eight;
static float epsilon, theta;
static Matrix embedding;
static Layer *layer;
static float *norm_final, *keys, *values, *turn;

static void *take(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory) exit(1);
    return memory;
}

static float *floats(FILE *file, size_t count) {
    float *data = take(count * sizeof(float));
    if (fread(data, sizeof(float), count, file) != count) exit(2);
    return data;
}

static Matrix matrix(FILE *file, int rows, int columns) {
    Matrix m = {rows, columns, floats(file, (size_t)rows * columns), NULL, NULL};
    m.small = take((size_t)rows * columns);
    m.scale = take(rows * sizeof(float));
    for (int r = 0; r < rows; ++r) {
        float largest = 1e-12f;
        for (int c = 0; c < columns; ++c) largest = fmaxf(largest, fabsf(m.weight[r * columns + c]));
        m.scale[r] = largest / 127;
        for (int c = 0; c < columns; ++c)
            m.small[r * columns + c] = (int8_t)lrintf(m.weight[r * columns + c] / m.scale[r]);
    }
    return m;
}

static void multiply(float *restrict y, const float *restrict x, const Matrix *m) {
    const int n = m->columns;
    if (!eight) {
        for (int r = 0; r < m->rows; ++r) {
            const float *restrict w = m->weight + (size_t)r * n;
            float sum = 0;
            for (int c = 0; c < n; ++c) sum += w[c] * x[c];
            y[r] = sum;
        }
        return;
    }
    int8_t small[1024] __attribute__((aligned(64)));
    float largest = 1e-12f;
    for (int c = 0; c < n; ++c) largest = fmaxf(largest, fabsf(x[c]));
    const float scale = largest / 127;
    for (int c = 0; c < n; ++c) small[c] = (int8_t)lrintf(x[c] / scale);
    for (int r = 0; r < m->rows; ++r) {
        const int8_t *restrict w = m->small + (size_t)r * n;
        int32_t sum = 0;
        for (int c = 0; c < n; ++c) sum += (int32_t)w[c] * small[c];
        y[r] = sum * scale * m->scale[r];
    }
}

static void normalize(float *restrict y, const float *restrict x, const float *restrict gain) {
    float sum = 0;
    for (int i = 0; i < width; ++i) sum += x[i] * x[i];
    const float factor = 1 / sqrtf(sum / width + epsilon);
    for (int i = 0; i < width; ++i) y[i] = x[i] * factor * gain[i];
}

static void rotate(float *x, int count, int position) {
    const float *angle = turn + (size_t)position * head;
    for (int h = 0; h < count; ++h, x += head)
        for (int j = 0; j < head / 2; ++j) {
            const float a = x[j], b = x[j + head / 2];
            x[j] = a * angle[2 * j] - b * angle[2 * j + 1];
            x[j + head / 2] = b * angle[2 * j] + a * angle[2 * j + 1];
        }
}

static void attend(float *out, const float *q, const float *k, const float *v, int position) {
    const int row = key_heads * head;
    static float score[8192];
    const float factor = 1 / sqrtf((float)head);
    for (int h = 0; h < heads; ++h) {
        const int at = h / (heads / key_heads) * head;
        float largest = -INFINITY, sum = 0;
        for (int t = 0; t <= position; ++t) {
            float dot = 0;
            for (int d = 0; d < head; ++d) dot += q[h * head + d] * k[t * row + at + d];
            score[t] = dot * factor;
            largest = fmaxf(largest, score[t]);
        }
        for (int t = 0; t <= position; ++t) sum += score[t] = expf(score[t] - largest);
        float *y = out + h * head;
        memset(y, 0, head * sizeof(float));
        for (int t = 0; t <= position; ++t)
            for (int d = 0; d < head; ++d) y[d] += score[t] * v[t * row + at + d];
        for (int d = 0; d < head; ++d) y[d] /= sum;
    }
}

static int step(int token, int position) {
    static float x[1024], y[1024], q[1024], z[1024], a[4096], b[4096], logits[65536];
    const int row = key_heads * head;
    memcpy(x, embedding.weight + (size_t)token * width, width * sizeof(float));
    for (int l = 0; l < layers; ++l) {
        const Layer *now = layer + l;
        float *k = keys + (size_t)l * context * row, *v = values + (size_t)l * context * row;
        normalize(y, x, now->norm_attention);
        multiply(q, y, &now->q);
        multiply(k + (size_t)position * row, y, &now->k);
        multiply(v + (size_t)position * row, y, &now->v);
        rotate(q, heads, position);
        rotate(k + (size_t)position * row, key_heads, position);
        attend(z, q, k, v, position);
        multiply(y, z, &now->o);
        for (int i = 0; i < width; ++i) x[i] += y[i];
        normalize(y, x, now->norm_mlp);
        multiply(a, y, &now->gate);
        multiply(b, y, &now->up);
        for (int i = 0; i < hidden; ++i) a[i] = a[i] / (1 + expf(-a[i])) * b[i];
        multiply(y, a, &now->down);
        for (int i = 0; i < width; ++i) x[i] += y[i];
    }
    normalize(y, x, norm_final);
    multiply(logits, y, &embedding);
    int best = 0;
    for (int i = 1; i < vocabulary; ++i)
        if (logits[i] > logits[best]) best = i;
    return best;
}

int main(int argc, char **argv) {
    if (argc != 6) return 64;
    FILE *file = fopen(argv[1], "rb");
    int32_t sizes[8];
    float real[2];
    if (!file || fread(sizes, 4, 8, file) != 8 || fread(real, 4, 2, file) != 2) return 2;
    width = sizes[0], hidden = sizes[1], layers = sizes[2], heads = sizes[3], key_heads = sizes[4];
    head = sizes[5], vocabulary = sizes[6], context = sizes[7], epsilon = real[0], theta = real[1];
    if (width > 1024 || heads * head > 1024 || hidden > 1024 || vocabulary > 65536 || context > 8192) return 3;
    eight = !strcmp(argv[2], "int8");
    const int tokens = atoi(argv[3]), row = key_heads * head;
    if (tokens > context) return 4;
    embedding = matrix(file, vocabulary, width);
    layer = take(layers * sizeof(Layer));
    for (int l = 0; l < layers; ++l) {
        layer[l].norm_attention = floats(file, width);
        layer[l].q = matrix(file, heads * head, width);
        layer[l].k = matrix(file, row, width);
        layer[l].v = matrix(file, row, width);
        layer[l].o = matrix(file, width, heads * head);
        layer[l].norm_mlp = floats(file, width);
        layer[l].gate = matrix(file, hidden, width);
        layer[l].up = matrix(file, hidden, width);
        layer[l].down = matrix(file, width, hidden);
    }
    norm_final = floats(file, width);
    keys = take((size_t)layers * context * row * sizeof(float));
    values = take((size_t)layers * context * row * sizeof(float));
    turn = take((size_t)context * head * sizeof(float));
    for (int t = 0; t < context; ++t)
        for (int j = 0; j < head / 2; ++j) {
            const double angle = t * pow(theta, -2.0 * j / head);
            turn[t * head + 2 * j] = (float)cos(angle);
            turn[t * head + 2 * j + 1] = (float)sin(angle);
        }
    for (int repeat = 0; repeat < atoi(argv[5]); ++repeat) {
        struct timespec begin, end;
        int token = atoi(argv[4]);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
        for (int position = 0; position < tokens; ++position) {
            token = step(token, position);
            if (!repeat) printf("%d ", token);
        }
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        printf("%s%.6f", repeat ? " " : "\n", (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec));
    }
    printf("\n");
    return 0;
}
