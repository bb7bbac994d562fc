import torch
import torch.nn.functional as F
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Linear(768, 768)
        self.key = nn.Linear(768, 768)
        self.value = nn.Linear(768, 768)

    def forward(self, x, mask):
        query = self.query(x)  # (batch, seq, 768)
        key = self.key(x)
        value = self.value(x)
        q = query.unflatten(-1, (12, -1)).transpose(1, 2)  # (batch, 12, seq, 64)
        k = key.unflatten(-1, (12, -1)).transpose(1, 2)
        v = value.unflatten(-1, (12, -1)).transpose(1, 2)
        x = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=0.1 if self.training else 0.0
        )
        return x.transpose(1, 2).flatten(2)  # (batch, seq, 768)


class AddAndNorm(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.dense = nn.Linear(in_features, 768)
        self.dropped = nn.Dropout(p=0.1)
        self.LayerNorm = nn.LayerNorm(768, eps=1e-12)

    def forward(self, x, residual):
        x = self.dense(x)  # (batch, seq, 768)
        dropped = self.dropped(x)
        x = dropped + residual
        return self.LayerNorm(x)


class Intermediate(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(768, 3072)

    def forward(self, x):
        x = self.dense(x)  # (batch, seq, 3072)
        return F.gelu(x)


class Embeddings(nn.Module):
    def __init__(self):
        super().__init__()
        self.word_embeddings = nn.Embedding(30522, 768, padding_idx=0)
        self.position_embeddings = nn.Embedding(512, 768)
        self.token_type_embeddings = nn.Embedding(2, 768)
        self.LayerNorm = nn.LayerNorm(768, eps=1e-12)

    def forward(self, ids, types):
        seq = ids.shape[1]
        word_embeddings = self.word_embeddings(ids)  # (batch, seq, 768)
        x = torch.arange(seq, device=ids.device)  # (seq,)
        position_embeddings = self.position_embeddings(x)  # (seq, 768)
        token_type_embeddings = self.token_type_embeddings(types)  # (batch, seq, 768)
        x = word_embeddings + token_type_embeddings + position_embeddings
        x = self.LayerNorm(x)
        return F.dropout(x, p=0.1, training=self.training)


class Pooler(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(768, 768)

    def forward(self, x):
        x = x[:, 0]  # (batch, 768)
        x = self.dense(x)
        return torch.tanh(x)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.self = SelfAttention()
        self.output = AddAndNorm(768)

    def forward(self, x, mask):
        self_ = self.self(x, mask)  # (batch, seq, 768)
        return self.output(self_, x)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = Attention()
        self.intermediate = Intermediate()
        self.output = AddAndNorm(3072)

    def forward(self, x, mask):
        attention = self.attention(x, mask)  # (batch, seq, 768)
        intermediate = self.intermediate(attention)  # (batch, seq, 3072)
        return self.output(intermediate, attention)  # (batch, seq, 768)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.ModuleList(Layer() for _ in range(12))

    def forward(self, x, mask):
        for layer in self.layer:
            x = layer(x, mask)  # (batch, seq, 768)
        return x


class Bert(nn.Module):
    """BERT with its pooler (https://arxiv.org/abs/1810.04805), as transformers'
    BertModel.
    """

    def __init__(self):
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = Encoder()
        self.pooler = Pooler()
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, input_ids, attention_mask, token_type_ids):
        embeddings = self.embeddings(input_ids, token_type_ids)  # (batch, seq, 768)
        mask = attention_mask[:, None, None, :]  # (batch, 1, 1, seq)
        encoder = self.encoder(embeddings, mask)  # (batch, seq, 768)
        pooler = self.pooler(encoder)  # (batch, 768)
        return {"last_hidden_state": encoder, "pooler_output": pooler}
