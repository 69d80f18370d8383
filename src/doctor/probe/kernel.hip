// Writes index * 0x9E3779B1 + seed (modulo 2^32) into each of `count` words.
extern "C" __global__ void aienv_probe(unsigned int* out, unsigned int count, unsigned int seed)
{
    unsigned int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < count)
        out[index] = index * 0x9E3779B1u + seed;
}
