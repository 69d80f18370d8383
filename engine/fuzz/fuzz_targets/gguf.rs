//! Any bytes as a file: reading it must end in an error or in a file all of whose values and
//! tensors can be used, and which comes out of the writer as it is.

#![no_main]

use aienv_engine::gguf::{File, Writer};
use aienv_engine::quant::{Activations, dequantize, multiply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = File::from_bytes(bytes.to_vec()) else {
        return;
    };
    let mut writer = Writer::new(file.metadata().clone());
    for tensor in file.tensors() {
        let (found, data) = file.tensor(&tensor.name).expect("it is listed");
        assert_eq!(found, tensor);
        assert_eq!(data.len() as u64, tensor.bytes());
        let mut values = vec![0.0; tensor.elements() as usize];
        dequantize(tensor.ty, data, &mut values);
        let mut vectors = Activations::new();
        vectors.set(&values[..tensor.row_len()], tensor.row_len());
        multiply(tensor.ty, data, &vectors, &mut vec![0.0; tensor.rows()]);
        writer
            .declare(&tensor.name, &tensor.shape, tensor.ty)
            .expect("the reader took it");
    }
    // An alignment may be so large that its padding would fill the disk.
    if file.alignment() > 4096 {
        return;
    }
    let mut body = writer.begin(Vec::new()).expect("the reader took it");
    for tensor in file.tensors() {
        body.append(file.data(tensor).expect("it is listed"))
            .expect("it has its declared size");
    }
    let again = File::from_bytes(body.finish().expect("all is given")).expect("we wrote it");
    assert_eq!(again.metadata().len(), file.metadata().len());
    for tensor in file.tensors() {
        let (written, data) = again.tensor(&tensor.name).expect("it was declared");
        assert_eq!((written.ty, &written.shape), (tensor.ty, &tensor.shape));
        assert_eq!(Some(data), file.data(tensor));
    }
});
